"""What thresholds would do, on a handful of mentions counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sightline.calibration.collecting.table import CalibrationTable
from sightline.calibration.fitting.scores import Scores
from sightline.calibration.reporting.thresholds import Thresholds

from ..tables import made_table


def _table(labels: list[int], images: list[int], count: int) -> CalibrationTable:
    table = made_table(30)
    return replace(
        table,
        mentions=table.mentions.take(np.arange(len(labels))),
        labels=np.array(labels),
        images=np.array(images),
        image_ids=tuple(map(str, range(count))),
    )


TABLE = _table([0, 1, 1, 0, 0, 1], [0, 0, 1, 1, 2, 3], 4)
PROBABILITIES = np.array([0.1, 0.9, 0.4, 0.6, 0.2, np.nan])


def _scores(threshold: float | None = None) -> Scores:
    return Scores("some", "predicting", PROBABILITIES * 10 - 7, PROBABILITIES, threshold)


def test_a_row_is_counted_by_hand() -> None:
    """Mentions and images at the threshold .4; a mention without a probability is never flagged."""
    (row,) = [row for row in Thresholds.of(TABLE, _scores()).rows if row.threshold == 0.4]
    assert row.hallucinated_flagged == pytest.approx(2 / 3)
    assert row.real_flagged == pytest.approx(1 / 3)
    assert row.precision == pytest.approx(2 / 3)
    assert row.image_recall == pytest.approx(2 / 3)  # images 0 and 1 of 0, 1 and 3
    assert row.image_precision == pytest.approx(1 / 2)  # 0, but in 1 a real one is above
    assert row.image_false_alarm == 0  # image 2


def test_rows_fall_and_the_own_one_is_marked() -> None:
    """Thresholds fall, recalls rise, and the detector's own threshold is among them."""
    found = Thresholds.of(TABLE, _scores(0.55))
    assert found.scale == "probability"
    thresholds = [row.threshold for row in found.rows]
    assert thresholds == sorted(thresholds, reverse=True)
    assert [row.threshold for row in found.rows if row.chosen] == [0.55]
    recalls = [row.hallucinated_flagged for row in found.rows]
    assert recalls == sorted(recalls)


def test_plain_scores_have_rows_too() -> None:
    """Scores below zero flag the same mentions and images as their probabilities."""
    by_score = Thresholds.of(TABLE, replace(_scores(), probabilities=None))
    by_probability = Thresholds.of(TABLE, _scores())
    assert by_score.scale == "score"
    for one, other in zip(by_score.rows, by_probability.rows, strict=True):
        assert replace(one, threshold=0.0) == replace(other, threshold=0.0)
