"""Why a model could not be had, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from ...detectors.published import PUBLISHED


def remedy(name: str, error: BaseException) -> str:
    """What a user is told whose model could not be loaded: the reason, then the remedy.

    Args:
        name: what was asked for: a folder, or a name on the Hugging Face hub.
        error: what transformers raised; the hub's own error is looked for behind it.
    """
    behind = tuple(_behind(error))

    def has(kind: type[BaseException]) -> bool:
        return any(isinstance(one, kind) for one in behind)

    if Path(name).is_dir():
        return (
            f"the folder does not hold a whole checkpoint: {error} Give a folder that "
            f"save_pretrained wrote, model and processor both."
        )
    if has(GatedRepoError):
        return (
            f"it is gated: whoever wants it must ask for it. Accept its terms on "
            f"https://huggingface.co/{name}, then log in here with `hf auth login`."
        )
    if has(RepositoryNotFoundError):
        return (
            f"there is no such model on the Hugging Face hub, or it is private.{_alike(name)} "
            f"Check the spelling; for a private one, log in with `hf auth login`."
        )
    if has(LocalEntryNotFoundError):
        return (
            f"it is neither a folder nor wholly in the cache of the Hugging Face hub, and the hub "
            f"cannot be reached (no network, or HF_HUB_OFFLINE is set).{_alike(name)} Where there "
            f"is a network, run `hf download {name}` and bring the cache here (HF_HOME says where "
            f"it lies), or give the folder of a checkpoint."
        )
    if has(HFValidationError):
        return (
            "there is no such folder, and it cannot be a name on the Hugging Face hub, which is "
            "written owner/model. Check the path: it must be a folder that save_pretrained wrote."
        )
    if has(EntryNotFoundError):
        return (
            f"its repository lacks a file that transformers needs: {error} It may hold weights in "
            f"another library's format; look for a copy that is made for transformers."
        )
    return (
        f"{error} Give a folder that save_pretrained wrote, a name on the Hugging Face hub, or "
        f"'small'."
    )


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _alike(name: str) -> str:
    """The known name that this one may be meant to be, if it is another."""
    known = [settings.checkpoint for settings in PUBLISHED if settings.checkpoint]
    close = [other for other in difflib.get_close_matches(name, known, cutoff=0.6) if other != name]
    return f" Did you mean {close[0]}?" if close and name not in known else ""
