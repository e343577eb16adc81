"""How well the small model's inside tells made-up objects from real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Final

import numpy as np
import numpy.typing as npt

from ...detectors.svar import LayerRange, svar
from ..statistics import Estimate, auroc, auroc_within, by_image, ratio
from .observed import Floats, Observed


@dataclass(frozen=True, slots=True)
class Separation:
    """How well a score tells hallucinated from real first mentions."""

    overall: Estimate
    within: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """The scores of a set of first mentions; a high score means *hallucinated*."""

    labels: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    scores: Mapping[str, npt.NDArray[np.float64]]
    var: Floats
    naming_var: Floats

    @classmethod
    def of(cls, observed: Observed) -> Detection:
        """Score the first mentions by position, log-probability and entropy."""
        mentions = observed.first_mentions
        scores = {
            "position": np.array([m.index for m in mentions], float),
            "log-probability": -observed.gather(mentions, lambda t, i: t.log_prob[i]).astype(float),
            "entropy": observed.gather(mentions, lambda t, i: t.entropy[i]).astype(float),
        }
        return cls(
            np.array([m.hallucinated for m in mentions], np.int64),
            np.array([m.picture for m in mentions], np.int64),
            np.array([m.index for m in mentions], np.int64),
            scores,
            observed.gather(mentions, lambda t, i: t.var[i]),
            observed.gather(mentions, lambda t, i: t.var[min(i + 1, len(t.var) - 1)]),
        )

    @property
    def layers(self) -> int:
        return int(self.var.shape[1])

    def svar(self, first: int, last: int, *, naming: bool = False) -> npt.NDArray[np.float64]:
        """Minus SVAR over layers ``first`` to ``last``: high means hallucinated."""
        chosen = LayerRange(first, last, "user")
        return -np.asarray(
            svar(self.naming_var if naming else self.var, tuple(range(self.layers)), chosen), float
        )

    def separation(self, score: npt.NDArray[np.float64]) -> Separation:
        """AUROC overall and within mention index, with intervals by image."""
        y, z = self.labels, self.indices
        return Separation(
            by_image(lambda w: auroc(y, score, w), self.images),
            by_image(lambda w: auroc_within(y, score, z, w), self.images),
        )

    def by_range(self) -> dict[tuple[int, int], tuple[float, float]]:
        """AUROC of SVAR, overall and within mention index, over every range of layers."""
        found = {}
        for first, last in combinations_with_replacement(range(self.layers), 2):
            score = self.svar(first, last)
            found[first, last] = (
                auroc(self.labels, score),
                auroc_within(self.labels, score, self.indices),
            )
        return found

    def best_range(self) -> tuple[int, int]:
        """The range whose SVAR separates best within mention index; for development scenes."""
        table = self.by_range()
        return max(table, key=lambda r: table[r][1])


FALSE_ALARMS: Final = 0.1
"""Share of real first mentions that the provisional threshold flags on calibration scenes."""


@dataclass(frozen=True, slots=True)
class Provisional:
    """An SVAR threshold that nobody guarantees anything about, and what it does.

    Attributes:
        minimum: mentions whose SVAR is at most this are flagged.
        flagged_real: share of real first mentions that it flags.
        flagged_hallucinated: share of hallucinated first mentions that it flags.
    """

    minimum: float
    flagged_real: Estimate
    flagged_hallucinated: Estimate


def provisional(fitted: Detection, measured: Detection, layers: tuple[int, int]) -> Provisional:
    """Choose the threshold on one set of mentions, measure it on another."""
    real = -fitted.svar(*layers)[fitted.labels == 0]
    minimum = float(np.quantile(real, FALSE_ALARMS))
    flagged = (-measured.svar(*layers) <= minimum).astype(float)

    def share(label: int) -> Estimate:
        chosen = (measured.labels == label).astype(float)
        count = int(measured.images.max()) + 1
        hits = np.bincount(measured.images, flagged * chosen, count)
        return ratio(hits, np.bincount(measured.images, chosen, count))

    return Provisional(minimum, share(0), share(1))
