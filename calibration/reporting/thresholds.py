"""What each threshold would do: what it flags, what it misses, by mention and by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..collecting.table import CalibrationTable
from ..fitting.imagescores import ImageScores
from ..fitting.scores import Scores

RECALLS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Shares of hallucinated mentions found, for which the table has a row each."""


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What flagging from a threshold up does to a table; NaN where nothing counts.

    Attributes:
        threshold: the least probability (or score) that is flagged.
        chosen: whether it is the detector's own threshold.
        real_flagged: share of the real mentions that are flagged.
        hallucinated_flagged: share of the hallucinated mentions that are flagged: recall.
        precision: share of the flags that are right.
        image_recall: of the images whose captions hallucinate, the share with every hallucinated
            mention flagged.
        image_precision: of the images with a flag, the share whose most suspicious mention is
            hallucinated.
        image_false_alarm: of the images whose captions are true, the share with any flag.
    """

    threshold: float
    chosen: bool
    real_flagged: float
    hallucinated_flagged: float
    precision: float
    image_recall: float
    image_precision: float
    image_false_alarm: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Rows of rising recall.

    Attributes:
        detector: whose threshold.
        scale: ``probability`` or ``score``.
        rows: from the highest threshold to the lowest.
    """

    detector: str
    scale: str
    rows: tuple[ThresholdRow, ...]

    @classmethod
    def of(cls, table: CalibrationTable, found: Scores) -> Thresholds:
        """The thresholds that reach :data:`RECALLS` on this table, and the detector's own.

        They are read off these very mentions and promise nothing; a guarantee takes other images.
        A mention without a score is never flagged.
        """
        scale = "score" if found.probabilities is None else "probability"
        values = found.scores if found.probabilities is None else found.probabilities
        wrong = np.sort(values[(table.labels == 1) & np.isfinite(values)])[::-1]
        hits = int((table.labels == 1).sum())
        needed = [int(np.ceil(recall * hits - 1e-9)) for recall in RECALLS]
        wanted = {float(wrong[count - 1]): False for count in needed if 0 < count <= len(wrong)}
        if found.threshold is not None:
            wanted[found.threshold] = True
        # Probabilities are ranked above what is never flagged; plain scores may be any number.
        floor = np.nanmin(values) if np.isfinite(values).any() else 0.0
        shifted = values - floor if scale == "score" else values
        rows = {
            target: ImageScores.of(
                target, shifted, table.labels, table.images, count=len(table.image_ids)
            )
            for target in _TARGETS
        }
        return cls(
            found.detector,
            scale,
            tuple(
                _row(threshold, wanted[threshold], values, table.labels, rows, floor, scale)
                for threshold in sorted(wanted, reverse=True)
            ),
        )


_TARGETS: Final = ("recall", "precision", "false-alarm")


def _row(
    threshold: float,
    chosen: bool,
    values: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    rows: dict[str, ImageScores],
    floor: float,
    scale: str,
) -> ThresholdRow:
    flagged = values >= threshold  # never true of NaN
    at = threshold - floor if scale == "score" else threshold
    recall, precision, alarm = (rows[t].counted(t, at)[1] for t in _TARGETS)
    return ThresholdRow(
        threshold,
        chosen,
        _share(flagged[labels == 0]),
        _share(flagged[labels == 1]),
        _share(labels[flagged]),
        recall,
        precision,
        alarm,
    )


def _share(values: npt.NDArray[np.generic]) -> float:
    return float(values.astype(float).mean()) if len(values) else float("nan")
