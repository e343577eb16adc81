"""Stages 2 to 4: language alone, then the projector, then projector and decoder together."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from ..architecture import BOS, EOS, IMAGE, PATCHES, opening
from ..captions import BRIEF, DETAILED, Subject, write_brief, write_detailed
from .recipe import Recipe, Stage
from .workers import Worker

_POOL = 16
"""Steps whose examples are drawn together and sorted by length, to pad little."""

_FIRST_PROMPT = 0.6
"""Share of the first prompt of each kind; the others are there so that wording may vary."""


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt and caption as token ids; ``start`` is where the caption begins."""

    ids: tuple[int, ...]
    start: int


class Writer:
    """Writes tokenised examples for subjects; the same generator state gives the same text."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, detailed: float) -> None:
        self._tokenizer = tokenizer
        self._detailed = detailed
        (self._eos,) = self.encode(EOS)
        before, after = opening("")[0].split(IMAGE)
        self.before = (*self.encode(BOS), *self.encode(before))
        self.after = self.encode(after)

    @functools.lru_cache(maxsize=64)  # noqa: B019 - prompts only; lives as long as the training
    def _prompt(self, text: str) -> tuple[int, ...]:
        return self.encode(text)

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def write(self, about: Subject, rng: np.random.Generator) -> Example:
        """A caption of ``about`` after one of the prompts that ask for its kind."""
        at_length = rng.random() < self._detailed
        prompts = DETAILED if at_length else BRIEF
        usual = rng.random() < _FIRST_PROMPT
        prompt = prompts[0 if usual else int(rng.integers(1, len(prompts)))]
        caption = (write_detailed if at_length else write_brief)(about, rng)
        asked = self._prompt(opening(prompt)[1])
        return Example((*asked, *self.encode(caption), self._eos), len(asked))


def pools(
    subjects: Sequence[Subject],
    writer: Writer,
    recipe: Recipe,
    stage: Stage,
    number: int,
    per_scene: int,
) -> functools._lru_cache_wrapper[list[list[tuple[int, list[Example]]]]]:
    """A function from a pool's index to its batches: each a list of (scene row, its examples)."""

    @functools.lru_cache(maxsize=1)
    def pool(index: int) -> list[list[tuple[int, list[Example]]]]:
        rng = np.random.default_rng([recipe.seed, number, index])
        rows = rng.integers(len(subjects), size=stage.batch * _POOL)
        drawn = [
            (int(row), [writer.write(subjects[row], rng) for _ in range(per_scene)]) for row in rows
        ]
        drawn.sort(key=lambda scene: sum(len(e.ids) for e in scene[1]))
        batches = [drawn[i * stage.batch : (i + 1) * stage.batch] for i in range(_POOL)]
        return [batches[i] for i in rng.permutation(_POOL)]

    return pool


class TextLoss:
    """Next-token loss of captions without pictures: what the decoder knows before it can see."""

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        subjects: Sequence[Subject],
        writer: Writer,
        recipe: Recipe,
    ) -> None:
        self._model, self._writer = model, writer
        self._pool = pools(subjects, writer, recipe, recipe.text, 2, 1)
        self._user = writer.before

    def __call__(self, step: int, worker: Worker) -> tuple[Tensor, float]:
        batch = self._pool(step // _POOL)[step % _POOL][worker.share(1 << 30)]
        rows = [(*self._user, *examples[0].ids) for _, examples in batch]
        starts = [len(self._user) + examples[0].start for _, examples in batch]
        longest = max(len(r) for r in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
            ids[i, : len(row)] = torch.tensor(row)
            labels[i, start : len(row)] = ids[i, start : len(row)]
        embedded = self._model.get_input_embeddings()(ids)
        return next_token_loss(self._model, embedded, labels, None, None)


class SightedLoss:
    """Next-token loss of two captions for each picture, which share its prefix and nothing else.

    The vision tower is frozen in these stages, so its features are computed once, beforehand.
    """

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        features: npt.NDArray[np.float16],
        subjects: Sequence[Subject],
        writer: Writer,
        recipe: Recipe,
        stage: Stage,
        number: int,
    ) -> None:
        self._model, self._features, self._writer = model, features, writer
        self._pool = pools(subjects, writer, recipe, stage, number, 2)

    def __call__(self, step: int, worker: Worker) -> tuple[Tensor, float]:
        batch = self._pool(step // _POOL)[step % _POOL][worker.share(1 << 30)]
        packed = [_pack(self._writer, examples) for _, examples in batch]
        longest = max(len(p[0]) for p in packed)
        ids, starts, places, parts = (
            torch.full((len(packed), longest), fill) for fill in (0, 0, 0, -1)
        )
        for i, columns in enumerate(packed):
            for tensor, column in zip((ids, starts, places, parts), columns, strict=True):
                tensor[i, : len(column)] = torch.tensor(column)
        labels = torch.where(starts.bool(), ids, -100)
        seen = torch.from_numpy(self._features[[row for row, _ in batch]]).float()
        seen = self._model.model.multi_modal_projector(seen)
        embedded = self._model.get_input_embeddings()(ids)
        first = len(self._writer.before)
        embedded = torch.cat([embedded[:, :first], seen, embedded[:, first + PATCHES :]], 1)
        causal = torch.ones(longest, longest, dtype=torch.bool).tril()
        same = (parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == 0)
        mask = (causal & same)[:, None]
        return next_token_loss(self._model, embedded, labels, mask, places)


def _pack(
    writer: Writer, examples: list[Example]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Ids, whether to learn each, positions and parts (0 prefix, 1 and 2 the captions)."""
    ids = [*writer.before, *([0] * PATCHES), *writer.after]
    learnt, parts = [0] * len(ids), [0] * len(ids)
    places = list(range(len(ids)))
    prefix = len(ids)
    for part, example in enumerate(examples, start=1):
        ids += example.ids
        learnt += [0] * example.start + [1] * (len(example.ids) - example.start)
        places += range(prefix, prefix + len(example.ids))
        parts += [part] * len(example.ids)
    return ids, learnt, places, parts


def next_token_loss(
    model: LlavaForConditionalGeneration,
    embedded: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    places: Tensor | None,
) -> tuple[Tensor, float]:
    """Summed cross-entropy of every labelled token given all before it, and how many there are.

    Args:
        embedded: ``[batch, length, hidden]``.
        labels: ``[batch, length]``, -100 where nothing is to be predicted.
        mask: bool ``[batch, 1, length, length]``, True where a query may look; causal if None.
        places: position ids ``[batch, length]``; 0, 1, 2 ... if None.
    """
    hidden = model.model.language_model(
        inputs_embeds=embedded, attention_mask=mask, position_ids=places, use_cache=False
    ).last_hidden_state
    wanted = labels[:, 1:] != -100
    logits = model.lm_head(hidden[:, :-1][wanted])
    # A packed caption's first token follows its own prompt, never the other caption: the label
    # of a prompt token is -100, so no prediction crosses from one caption to the next.
    targets = labels[:, 1:][wanted]
    return F.cross_entropy(logits, targets, reduction="sum"), float(len(targets))
