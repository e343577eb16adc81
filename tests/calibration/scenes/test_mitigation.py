"""What Eq. 4 changes, against captions made by hand."""

from __future__ import annotations

import pytest
from sightline.calibration.objects.chair import Labelled
from sightline.calibration.scenes.mitigation import intervention_ranges, mitigation


def test_mitigation_is_paired() -> None:
    """The same captions change nothing; dropping a made-up object halves what is left."""
    truth = frozenset({"bus", "dog"})
    greedy = [Labelled(("bus", "kite"), truth, ()), Labelled(("dog", "kite"), truth, ())] * 10
    better = [Labelled(("bus",), truth, ()), Labelled(("dog", "kite"), truth, ())] * 10
    same = mitigation(1.0, (0, 2), greedy, greedy)
    assert same.chair_i_change.value == 0.0
    assert same.recall_change.value == 0.0
    gain = mitigation(1.0, (0, 2), better, greedy)
    assert gain.chair_i_change.value == pytest.approx((1 / 3) / (1 / 2) - 1)
    assert gain.recall_change.value == 0.0


def test_intervention_ranges_cover_the_model() -> None:
    """All layers, each third, each half and the middle, inside the model."""
    ranges = intervention_ranges(12)
    assert (0, 11) in ranges
    assert {(0, 3), (4, 7), (8, 11)} <= set(ranges)
    assert len(set(ranges)) == len(ranges)
    assert all(0 <= first <= last < 12 for first, last in ranges)
