"""Which model this is: what a calibration was made for, and what it is held against."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from transformers import PreTrainedModel

from ...detectors.conditions import ModelIdentity
from .anatomy import Anatomy


def identity(
    model: PreTrainedModel, name: str = "", *, anatomy: Anatomy | None = None
) -> ModelIdentity:
    """Who a model is. The weights' files are read once per process, for their hash.

    The revision is the hub's commit hash of the weights, or ``sha256:`` and a hash of their
    content; it is empty for a model that was never loaded from anywhere.

    Args:
        model: of a monitor: ``monitor.model``.
        name: what reports call it; by default where it was loaded from, else its class.
        anatomy: its parts, if they are known already.

    Raises:
        ModelError: the model's parts cannot be found.
    """
    parts = anatomy if anatomy is not None else Anatomy.of(model)
    source = str(getattr(model.config, "name_or_path", "") or "")
    return ModelIdentity(
        name=name or source or type(model).__name__,
        revision=getattr(model.config, "_commit_hash", None) or _content(source),
        architecture=type(model).__name__,
        num_layers=parts.num_layers,
        num_heads=parts.num_heads,
    )


def _content(source: str) -> str:
    """Hash of the weights in a folder: of every file's name and content, in order of name."""
    folder = Path(source)
    if not source or not folder.is_dir():
        return ""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        return ""
    whole = hashlib.sha256()
    for file in files:
        stat = file.stat()
        digest = _file_hash(str(file.absolute()), stat.st_size, stat.st_mtime_ns)
        whole.update(f"{file.name}\0{digest}\n".encode())
    return f"sha256:{whole.hexdigest()}"


@lru_cache(maxsize=256)
def _file_hash(path: str, size: int, modified: int) -> str:
    """Hash of a file that is what it was: size and time are there to tell the cache so."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
