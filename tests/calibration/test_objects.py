"""CHAIR and its company, against captions counted by hand."""

from __future__ import annotations

import pytest
from sightline.calibration.objects import Labelled, chair

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
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert found.rep_2.value == pytest.approx(2 / 5)
    assert found.length.value == pytest.approx(7 / 3)
    assert found.mentions.value == pytest.approx(4 / 3)
    assert found.ended.value == pytest.approx(2 / 3)


def test_chair_of_nothing_is_refused() -> None:
    """No captions, no figures."""
    with pytest.raises(ValueError, match="at least one caption"):
        chair([])
