"""The map from scores to probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightline.detectors.probability import ProbabilityMap


def made(scores: list[float], log_odds: list[float]) -> ProbabilityMap:
    """A map with these knots."""
    return ProbabilityMap(np.array(scores), np.array(log_odds))


def test_two_knots_are_a_sigmoid() -> None:
    """Between its ends and beyond them, two knots are Platt's sigmoid."""
    found = made([0.0, 1.0], [-1.0, 1.0])(np.array([-2.0, 0.0, 0.5, 3.0]))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-np.array([-5.0, -1.0, 0.0, 5.0]))))


def test_more_knots_bend_it() -> None:
    """Each knot is met exactly, and the outer pieces go straight on."""
    bent = made([0.0, 1.0, 2.0], [-2.0, -1.0, 3.0])
    odds = np.array([-3.0, -2.0, -1.5, -1.0, 1.0, 3.0, 7.0])
    found = bent(np.array([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0]))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-odds)))


def test_what_is_not_known_stays_so() -> None:
    """NaN stays NaN, and infinity is as sure as can be."""
    found = made([0.0, 1.0], [-1.0, 1.0])(np.array([np.nan, -np.inf, np.inf]))
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], [0, 1], atol=1e-9)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=20))
def test_a_higher_score_is_never_less_likely(scores: list[float]) -> None:
    """The order of the scores is the order of the probabilities, all of them between 0 and 1."""
    found = made([-3.0, -1.0, 0.0, 4.0], [-6.0, -5.0, 1.0, 2.0])(np.sort(scores))
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize(
    ("scores", "log_odds"),
    [
        ([0.0], [0.0]),
        ([0.0, 1.0], [0.0, 1.0, 2.0]),
        ([0.0, 0.0], [0.0, 1.0]),
        ([0.0, 1.0], [1.0, 1.0]),
        ([0.0, 1.0], [1.0, 0.0]),
        ([0.0, np.nan], [0.0, 1.0]),
        ([0.0, 1.0], [0.0, np.inf]),
    ],
)
def test_knots_that_do_not_rise_are_refused(scores: list[float], log_odds: list[float]) -> None:
    """Too few, as many of one as not of the other, level, falling or not finite."""
    with pytest.raises(ValueError, match="strictly ascending knots"):
        made(scores, log_odds)
