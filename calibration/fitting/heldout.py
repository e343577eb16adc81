"""What a calibrated detector is worth on images that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ...detectors.calibrated import CalibratedDetector
from ...detectors.guarantee import Target
from ..collecting.table import CalibrationTable
from ..ranking import Ranking
from ..statistics import Estimate, drawn_by_image, ratio
from .imagescores import Floats, ImageScores, Ints
from .probability import calibration_error

_UNKNOWN: Final = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Figures of one table or part of one, with 95% intervals by image; NaN where not defined.

    Attributes:
        images: captioned images.
        mentions: object mentions of their captions.
        hallucinated: of these.
        unjudged: mentions whose evidence could not be judged; they count as not flagged, and for
            nothing else.
        auroc: of all mentions.
        first: AUROC of the mentions that name their object for the first time.
        within: AUROC of these, each compared with others at the same place in its caption.
        calibration_error: see :func:`~sightline.calibration.fitting.probability.calibration_error`.
        flagged: share of the mentions that the threshold flags; 0 without a threshold.
        real_flagged: share of the real ones.
        hallucinated_flagged: share of the hallucinated ones.
        counted: images that count for the target.
        kept: what the promise is about, measured on them, without an interval.
    """

    images: int
    mentions: int
    hallucinated: int
    unjudged: int
    auroc: Estimate
    first: Estimate
    within: Estimate
    calibration_error: Estimate
    flagged: Estimate
    real_flagged: Estimate
    hallucinated_flagged: Estimate
    counted: int
    kept: float

    @classmethod
    def of(cls, calibrated: CalibratedDetector, table: CalibrationTable, target: Target) -> HeldOut:
        """Judge the mentions of a table.

        Raises:
            ValueError: the table lacks a layer that the detector reads, or has other heads.
        """
        probabilities = probabilities_of(calibrated, table)
        known = np.isfinite(probabilities)
        first = known & table.first
        threshold = 2.0 if calibrated.threshold is None else calibrated.threshold
        flagged = probabilities >= threshold
        rows = ImageScores.of(
            target, probabilities, table.labels, table.images, count=len(table.image_ids)
        )
        counted, kept = rows.counted(target, threshold)
        return cls(
            images=len(table.image_ids),
            mentions=len(table),
            hallucinated=int(table.labels.sum()),
            unjudged=int((~known).sum()),
            auroc=_auroc(table, probabilities, known),
            first=_auroc(table, probabilities, first),
            within=_auroc(table, probabilities, first, strata=table.mentions.index),
            calibration_error=calibration_error(table.labels, probabilities, table.images),
            flagged=_share(flagged, np.ones(len(table), dtype=bool), table),
            real_flagged=_share(flagged, table.labels == 0, table),
            hallucinated_flagged=_share(flagged, table.labels == 1, table),
            counted=counted,
            kept=kept,
        )


def probabilities_of(calibrated: CalibratedDetector, table: CalibrationTable) -> Floats:
    """Probability that each mention is hallucinated, float64 ``[n]``; NaN where not judged."""
    if not len(table):
        return np.zeros(0)
    return calibrated.map(calibrated.scorer.score(table.mentions))


def _auroc(
    table: CalibrationTable, scores: Floats, chosen: np.ndarray, *, strata: Ints | None = None
) -> Estimate:
    if not chosen.any():
        return _UNKNOWN
    ranking = Ranking.of(
        table.labels[chosen], scores[chosen], None if strata is None else strata[chosen]
    )
    return drawn_by_image(ranking.auroc, table.images[chosen]).estimate


def _share(flagged: np.ndarray, among: np.ndarray, table: CalibrationTable) -> Estimate:
    if not among.any():
        return _UNKNOWN
    images = len(table.image_ids)
    over = np.bincount(table.images, weights=flagged & among, minlength=images)
    return ratio(over, np.bincount(table.images, weights=among, minlength=images))
