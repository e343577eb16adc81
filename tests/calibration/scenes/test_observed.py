"""Captions held against the truth: tellings made by hand."""

from __future__ import annotations

import pytest
from sightline.calibration.scenes.observed import Observed, truth_of


def test_mentions_are_labelled_in_order(observed: Observed) -> None:
    """Objects, places, repetitions, truth and first sub-tokens."""
    first, second = observed.mentions
    assert truth_of(observed.pictures[0]) == {"bus", "dog"}
    assert [(m.object, m.index, m.first, m.hallucinated) for m in first] == [
        ("bus", 0, True, False),
        ("traffic light", 1, True, True),
        ("dog", 2, True, False),
        ("bus", 3, False, False),
    ]
    assert [m.token for m in first] == [3, 6, 10, 14]
    assert [(m.object, m.hallucinated) for m in second] == [("kite", True), ("dog", False)]


def test_typical_share(observed: Observed) -> None:
    """A traffic light belongs in a street, a kite does not."""
    assert observed.typical_share().value == 0.5


def test_chair_of_the_tellings(observed: Observed) -> None:
    """Two of six mentions are made up."""
    assert observed.chair().chair_i.value == pytest.approx(2 / 6)
    assert observed.chair().recall.value == pytest.approx(3 / 4)
