"""The frontier: which points it has, what it says in words, that it can be drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sightline.calibration.policies.comparison import compare_ways
from sightline.calibration.policies.frontier import Frontier
from sightline.calibration.policies.ways import FirstSentences, Plain, Watched, acting
from sightline.monitor.policy.policy import Policy

from .outcomes import trial
from .test_comparison import CUT, TRUE, WRONG

WAYS = {
    Plain(): [WRONG] * 4,
    Watched(): [WRONG] * 4,
    acting(Policy(act="stop", threshold=0.4)): [CUT, WRONG, WRONG, WRONG],
    acting(Policy(act="stop", threshold=0.2)): [CUT, CUT, WRONG, WRONG],
    FirstSentences(name="first", family="first sentences", count=1): [TRUE] * 4,
}


@pytest.fixture(scope="module")
def frontier() -> Frontier:
    """Of a policy at two thresholds, and one way that stands alone."""
    return Frontier.of(compare_ways(trial(WAYS)))


def test_families_are_curves_in_their_order(frontier: Frontier) -> None:
    """Points are sorted by their place; who stands alone needs no label; watching is no point."""
    stop, first = frontier.families
    assert (stop.name, [point.label for point in stop.points]) == ("stop", ["0.2", "0.4"])
    assert [point.label for point in first.points] == [""]
    assert stop.points[0].chair_i.value < stop.points[1].chair_i.value


def test_it_is_told_in_words(frontier: Frontier) -> None:
    """Every point is in the alternative text, and the goal in the caption."""
    assert "stop 0.2: CHAIR_I 33.3%, recall 50.0%" in frontier.alt
    assert "cut by 60% or more" in frontier.caption


def test_pictures_are_the_same_again(frontier: Frontier) -> None:
    """A PNG is one; an SVG is whole, and the same byte by byte."""
    svg = frontier.svg()
    assert frontier.png().startswith(b"\x89PNG")
    assert svg.rstrip().endswith(b"</svg>")
    assert svg == frontier.svg()


def test_captions_without_mentions_can_be_drawn() -> None:
    """Figures that are not defined leave no point and break nothing."""
    silent = [replace(TRUE, mentions=(), words=())] * 2
    found = Frontier.of(compare_ways(trial({Plain(): silent, acting(Policy(act="stop")): silent})))
    assert found.png().startswith(b"\x89PNG")


def test_greedy_alone_is_no_frontier() -> None:
    """There is nothing to hold against it."""
    with pytest.raises(ValueError, match="there is none"):
        Frontier.of(compare_ways(trial({Plain(): [TRUE]})))
