"""The paper's detector with a threshold that somebody chose: too little SVAR is a hallucination."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .evidence import Evidence
from .svar import LayerRange, svar
from .verdict import Judgement


@dataclass(frozen=True, slots=True)
class SvarThreshold:
    """Flags a mention whose SVAR is at most ``minimum``.

    The score is ``1 - SVAR / n``, ``n`` the number of layers summed: the mean share of attention
    that did *not* go to the image, between 0 and 1, so that high means hallucinated.

    Args:
        minimum: the SVAR up to which mentions are flagged, between 0 and the number of layers.
        layers: the layers SVAR sums over; the threshold holds for this range alone.
        name: what reports call it.

    Raises:
        ValueError: if no mention could ever reach ``minimum``.

    Source: Jiang et al., arXiv 2411.16724 (real and hallucinated objects differ in SVAR; the
    paper publishes no threshold).
    """

    minimum: float
    layers: LayerRange
    name: str = field(default="svar-threshold", kw_only=True)

    def __post_init__(self) -> None:
        count = len(self.layers.layers)
        if not (math.isfinite(self.minimum) and 0 <= self.minimum <= count):
            raise ValueError(
                f"minimum must be between 0 and {count}, the number of layers summed, was: "
                f"{self.minimum}."
            )

    @property
    def threshold(self) -> float:
        """``minimum`` on the scale of the score."""
        return self._score(self.minimum)

    def judge(self, evidence: Sequence[Evidence]) -> tuple[Judgement, ...]:
        """One judgement per mention; evidence with non-finite attention gets no score."""
        return tuple(map(self._judge, evidence))

    def _judge(self, evidence: Evidence) -> Judgement:
        threshold = self.threshold
        if not np.isfinite(evidence.var).all():
            return Judgement(score=None, threshold=threshold, flagged=False)
        score = self._score(float(svar(evidence.var, evidence.layers, self.layers)))
        return Judgement(score=score, threshold=threshold, flagged=score >= threshold)

    def _score(self, value: float) -> float:
        return 1.0 - value / len(self.layers.layers)
