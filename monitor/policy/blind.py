"""The image-blind branch: what the model would have said next from the text alone.

While a span is written again under a contrast, its next token is scored by

    ``(1 + gamma) * log p(y | image, text) - gamma * log p(y | text)``,

over the tokens that the model itself, with the image, finds plausible: those whose probability is
at least :data:`PLAUSIBLE` times that of the likeliest one. Scores and cut are those of visual
contrastive decoding (Leng et al., arXiv 2311.16922, Eq. 3 and 4), where the second term is for a
distorted image. Here it is for none, as in M3ID (Favero et al., arXiv 2403.14003).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from ..decoding.inputs import PromptBatch
from ..errors import OptionError

PLAUSIBLE: Final = 0.1
"""Share of the likeliest token's probability below which a token is not considered."""

_LEAST: Final = -1e4
"""Nothing counts as less likely than this, in nats."""


def contrasted(
    scores: Tensor,
    *,
    seen: Tensor,
    blind: Tensor,
    gamma: Tensor,
    forbidden: Sequence[Collection[int]],
) -> Tensor:
    """Scores of the next token, the contrast added.

    What another processor ruled out stays out, what it made likelier stays so. What is forbidden
    takes no part in what is plausible: a banned token does not rule out its replacements.

    Args:
        scores: float32 ``[rows, vocabulary]``, of the pass with the image; processed or not.
        seen: float32 ``[rows, vocabulary]``, log-probabilities of that pass.
        blind: float32 ``[rows, vocabulary]``, log-probabilities of the pass without the image.
        gamma: float32 ``[rows, 1]``, strengths, at least 0.
        forbidden: per row, the tokens that will not be picked.

    Returns:
        float32 ``[rows, vocabulary]``, minus infinity where a token is not plausible.
    """
    open_to = scores.ne(-torch.inf)
    for row, tokens in enumerate(forbidden):
        if tokens:
            open_to[row, torch.tensor(sorted(tokens), device=scores.device)] = False
    likely = seen.masked_fill(~open_to, -torch.inf)
    floor = likely.amax(dim=1, keepdim=True) + math.log(PLAUSIBLE)
    moved = scores + gamma * (seen.clamp_min(_LEAST) - blind.clamp_min(_LEAST))
    return moved.masked_fill(~open_to | likely.lt(floor), -torch.inf)


@dataclass(slots=True, eq=False)
class _Branch:
    """Some rows of one length, read together: what of them is in the cache."""

    cache: DynamicCache
    texts: list[list[int]]

    def new(self, texts: Sequence[Sequence[int]]) -> int:
        """How many tokens the cache lacks of longer texts; 0 if they are others."""
        longer = len(texts[0]) - len(self.texts[0])
        same = longer > 0 and all(
            text[: len(read)] == read for text, read in zip(texts, self.texts, strict=True)
        )
        return longer if same else 0


class BlindBranch:
    """Runs a model on the text of its prompts, the image tokens left out.

    The prompt's other tokens stay, among them those with which some models mark where an image
    begins and ends. Rows of one length are read in one batch, without padding: texts with
    positions from 0 and a cache of their own. It is filled, in one pass, when a row begins or the
    rows change; a token more is a pass over one token.

    Whoever measures the model's passes must let these go by: see :meth:`.StepMeter.aside`.

    Args:
        model: the model that decodes.
        prompts: its prompts.

    Raises:
        OptionError: a prompt is nothing but an image, or the model cannot do without one.
    """

    def __init__(self, model: PreTrainedModel, prompts: PromptBatch) -> None:
        self._model = model
        if prompts.ids.shape != prompts.image.shape:
            raise _cannot("not all ids of its prompts are known")
        keep = prompts.real & ~prompts.image
        self._prompts = [ids[kept].tolist() for ids, kept in zip(prompts.ids, keep, strict=True)]
        self._branches: dict[tuple[int, ...], _Branch] = {}
        known = inspect.signature(model.forward).parameters
        image = known.get("pixel_values")
        if image is not None and image.default is inspect.Parameter.empty:
            raise _cannot("its forward() asks for pixel_values")
        if not all(self._prompts):
            raise _cannot("a prompt is nothing but an image")
        self._last_alone = {"logits_to_keep": 1} if "logits_to_keep" in known else {}

    def check(self) -> None:
        """Read the shortest prompt's text, to see that the model can.

        Raises:
            OptionError: it cannot; with what it raised.
        """
        try:
            self._read(DynamicCache(config=self._config), [min(self._prompts, key=len)], 0)
        except Exception as error:
            raise _cannot(f"it raised {type(error).__name__}: {error}") from error

    def log_probs(self, written: Mapping[int, tuple[int, Sequence[int]]]) -> Tensor:
        """Log-probabilities of the next token, float32 ``[rows, vocabulary]``, in the rows' order.

        Args:
            written: by row of the batch, the number of its prompt and its caption so far. Caches
                of rows that are not among them are given up.
        """
        texts = {row: [*self._prompts[one], *said] for row, (one, said) in written.items()}
        by_length: dict[int, list[int]] = {}
        for row, text in texts.items():
            by_length.setdefault(len(text), []).append(row)
        branches, self._branches = self._branches, {}
        found: dict[int, Tensor] = {}
        for rows in map(tuple, by_length.values()):
            whole = [texts[row] for row in rows]
            branch = branches.get(rows)
            new = 0 if branch is None else branch.new(whole)
            if branch is None or not new:
                branch, new = _Branch(DynamicCache(config=self._config), []), len(whole[0])
            logits = self._read(branch.cache, whole, len(whole[0]) - new)
            branch.texts = whole
            self._branches[rows] = branch
            found.update(zip(rows, logits, strict=True))
        return torch.stack([found[row] for row in texts]).float().log_softmax(dim=1)

    def forget(self) -> None:
        """Give up all caches."""
        self._branches = {}

    @property
    def _config(self) -> Any:
        return self._model.config.get_text_config(decoder=True)

    @torch.no_grad()
    def _read(self, cache: DynamicCache, texts: Sequence[Sequence[int]], start: int) -> Tensor:
        """Logits ``[rows, vocabulary]`` of the last position, texts read from ``start`` on."""
        device = self._model.device
        ids = torch.tensor([text[start:] for text in texts], device=device)
        places = torch.arange(start, start + ids.shape[1], device=device)
        # Positions are given, because some models would else work them out and keep what they
        # found in themselves, where the watched generation looks for its own.
        output = self._model(
            input_ids=ids,
            attention_mask=ids.new_ones(len(texts), start + ids.shape[1]),
            position_ids=places.expand(len(texts), -1),
            past_key_values=cache,
            use_cache=True,
            **self._last_alone,
        )
        logits: Tensor = output.logits[:, -1]
        return logits


def _cannot(why: str) -> OptionError:
    return OptionError(
        f"A contrast needs what the model says of the text alone, and this one cannot be asked: "
        f"{why}. Use tries without contrast."
    )
