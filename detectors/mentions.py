"""Object mentions as detectors see them: one at a time while decoding, in columns when fitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from .evidence import SEGMENTS, Evidence

Timing = Literal["predicting", "naming"]
"""The latest row that a detector reads.

``predicting``: the row that predicts the mention's first sub-token; the verdict is there before
the token is handed to anyone. ``naming``: also the row of that sub-token itself, which predicts
what follows; the verdict comes one token later.
"""


@dataclass(frozen=True, slots=True, eq=False)
class MentionEvidence:
    """One mention: where it stands in its caption, and what it looked like inside the model.

    Attributes:
        object: its canonical name in the lexicon; ``None`` for a noun outside it.
        index: how many object mentions came before it in the caption.
        word: how many words came before it.
        repeats: how often the caption named the same object before; for a noun outside the
            lexicon, the same lemma.
        predicting: evidence of its first sub-token.
        naming: evidence of the token after that, whose predicting row has the first sub-token as
            its query; ``None`` if the caption was cut there.
    """

    object: str | None
    index: int
    word: int
    repeats: int
    predicting: Evidence
    naming: Evidence | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Mentions:
    """``n`` mentions in columns. What is unknown is NaN, and ``""`` for an object.

    Attributes:
        layers: the ``L`` decoder layers watched, counted from 0, ascending.
        object: str ``[n]``, canonical name; empty for a noun outside the lexicon.
        index: int64 ``[n]``, see :class:`MentionEvidence`.
        word: int64 ``[n]``.
        repeats: int64 ``[n]``.
        masses: float32 ``[n, L, heads, segments]`` of the predicting row, see
            :class:`~sightline.detectors.evidence.Evidence`.
        naming: float32 ``[n, L, heads, segments]`` of the naming row.
        log_prob: float32 ``[n]``, nats, of the first sub-token.
        entropy: float32 ``[n]``, nats.
        margin: float32 ``[n]``, nats.
        confidence: float32 ``[n]``, internal confidence by logit lens, 0..1.
        contributions: float32 ``[n, L]``, what each layer's attention adds to the token's logit.
    """

    layers: tuple[int, ...]
    object: npt.NDArray[np.str_]
    index: npt.NDArray[np.int64]
    word: npt.NDArray[np.int64]
    repeats: npt.NDArray[np.int64]
    masses: npt.NDArray[np.float32]
    naming: npt.NDArray[np.float32]
    log_prob: npt.NDArray[np.float32]
    entropy: npt.NDArray[np.float32]
    margin: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    contributions: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = self.masses.shape
        if len(shape) != 4 or shape[1] != len(self.layers) or shape[3] != len(SEGMENTS):
            raise ValueError(
                f"masses must have shape [mentions, {len(self.layers)} layers, heads, "
                f"{len(SEGMENTS)} segments], was: {shape}."
            )
        for field in fields(self)[1:]:
            if len(getattr(self, field.name)) != shape[0]:
                raise ValueError(
                    f"Every column must have one entry per mention ({shape[0]}), {field.name} has "
                    f"{len(getattr(self, field.name))}."
                )

    def __len__(self) -> int:
        return len(self.masses)

    @classmethod
    def of(cls, mentions: Sequence[MentionEvidence]) -> Mentions:
        """Columns of at least one mention, all watched in the same layers.

        Raises:
            ValueError: there is none, or their layers or heads differ.
        """
        if not mentions:
            raise ValueError("Mentions need at least one mention, got none.")
        first = mentions[0].predicting
        for mention in mentions:
            for row in (mention.predicting, mention.naming):
                if row is not None and (
                    row.layers != first.layers or row.masses.shape != first.masses.shape
                ):
                    raise ValueError(
                        f"All mentions must have been watched in the same layers and heads, were: "
                        f"{first.layers} {first.masses.shape} and {row.layers} {row.masses.shape}."
                    )
        unknown = np.full(first.masses.shape, np.nan, np.float32)
        no_layers = np.full(len(first.layers), np.nan, np.float32)
        rows = [mention.predicting for mention in mentions]
        return cls(
            layers=first.layers,
            object=np.array([mention.object or "" for mention in mentions], dtype=np.str_),
            index=np.array([mention.index for mention in mentions], dtype=np.int64),
            word=np.array([mention.word for mention in mentions], dtype=np.int64),
            repeats=np.array([mention.repeats for mention in mentions], dtype=np.int64),
            masses=np.stack([row.masses for row in rows]),
            naming=np.stack([unknown if m.naming is None else m.naming.masses for m in mentions]),
            log_prob=_column([row.log_prob for row in rows]),
            entropy=_column([row.entropy for row in rows]),
            margin=_column([row.margin for row in rows]),
            confidence=_column([row.confidence for row in rows]),
            contributions=np.stack(
                [no_layers if row.contributions is None else row.contributions for row in rows]
            ),
        )

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Mentions:
        """Some of the mentions, by mask or by number."""
        return replace(
            self,
            **{field.name: getattr(self, field.name)[rows] for field in fields(self)[1:]},
        )

    def within(self, layers: Sequence[int]) -> Mentions:
        """The same mentions, as if these layers alone had been watched.

        Raises:
            ValueError: one of them was not watched.
        """
        missing = sorted(set(layers) - set(self.layers))
        if missing:
            raise ValueError(
                f"Layers {sorted(set(layers))} must have been watched, missing: {missing}. The "
                f"evidence covers {list(self.layers)}; record it with watch_layers='all'."
            )
        rows = [self.layers.index(layer) for layer in layers]
        return replace(
            self,
            layers=tuple(layers),
            masses=self.masses[:, rows],
            naming=self.naming[:, rows],
            contributions=self.contributions[:, rows],
        )


def _column(values: Sequence[float | None]) -> npt.NDArray[np.float32]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float32)
