"""SVAR of tellings made by hand, and a threshold on it."""

from __future__ import annotations

import pytest
from sightline.calibration.scenes.detection import Detection, provisional
from sightline.calibration.scenes.observed import Observed


def test_detection_reads_the_first_token(observed: Observed) -> None:
    """SVAR sums the head means of the predicting row; high scores mean hallucinated."""
    found = Detection.of(observed)
    assert found.labels.tolist() == [0, 1, 0, 1, 0]
    assert found.svar(0, 2) == pytest.approx([-1.8, -0.6, -1.5, -0.9, -1.2])
    assert found.svar(1, 1) == pytest.approx([-0.6, -0.2, -0.5, -0.3, -0.4])
    assert found.svar(0, 0, naming=True)[0] == pytest.approx(-0.1)
    assert found.separation(found.svar(0, 2)).overall.value == 1.0
    assert set(found.by_range()) == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)}


def test_provisional_threshold_flags_little_attention(observed: Observed) -> None:
    """The threshold lies at a low quantile of what real mentions get."""
    found = Detection.of(observed)
    chosen = provisional(found, found, (0, 2))
    assert 1.2 < chosen.minimum < 1.5
    assert chosen.flagged_hallucinated.value == 1.0
    assert chosen.flagged_real.value == pytest.approx(1 / 3)
