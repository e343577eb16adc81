"""CHAIR and its company, against captions counted by hand."""

from __future__ import annotations

import math

import pytest
from sightline.calibration.objects.chair import Labelled, chair

CAPTIONS = [
    Labelled(("dog", "cat", "cat"), frozenset({"dog", "bench"}), ("a", "dog", "a", "dog", "a")),
    Labelled(("bus",), frozenset({"bus"}), ("the", "bus"), ended=False),
    Labelled((), frozenset({"kite"}), ()),
]


def test_chair_by_hand() -> None:
    """Mentions, captions, unique objects, recall, repetition, length and truncation."""
    found = chair(CAPTIONS)
    assert found.captions == 3
    assert found.chair_i.value == pytest.approx(2 / 4)
    assert found.chair_i_unique.value == pytest.approx(1 / 3)
    assert found.chair_s.value == pytest.approx(1 / 3)
    assert found.recall.value == pytest.approx(2 / 4)
    precision, recall = 2 / 3, 2 / 4
    assert found.precision.value == pytest.approx(precision)
    assert found.f1.value == pytest.approx(2 * precision * recall / (precision + recall))
    assert found.rep_2.value == pytest.approx(2 / 5)
    assert found.dist_1.value == pytest.approx(4 / 7)
    assert found.length.value == pytest.approx(7 / 3)
    assert found.mentions.value == pytest.approx(4 / 3)
    assert found.ended.value == pytest.approx(2 / 3)


def test_chair_of_nothing_is_refused() -> None:
    """No captions, no figures."""
    with pytest.raises(ValueError, match="at least one caption"):
        chair([])


def test_figures_have_intervals_by_image() -> None:
    """The estimate lies in its interval, which captions that disagree make wide."""
    found = chair(CAPTIONS * 30)
    for name in ("chair_i", "chair_s", "recall", "precision", "f1", "rep_2", "dist_1", "ended"):
        figure = getattr(found, name)
        assert figure.low < figure.value < figure.high, name


def test_what_nothing_defines_is_nan() -> None:
    """Captions that name nothing have no CHAIR_I, and unknown endings no share."""
    found = chair([Labelled((), frozenset({"kite"}), ("a",), ended=None)] * 3)
    assert math.isnan(found.chair_i.value)
    assert math.isnan(found.precision.value)
    assert math.isnan(found.ended.value)
    assert found.recall.value == found.f1.value == found.chair_s.value == 0
    mixed = chair([CAPTIONS[1], Labelled((), frozenset(), (), ended=None)])
    assert mixed.ended.value == 0
