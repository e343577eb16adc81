"""Probabilities that mean what they say, on mentions that made no part of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sightline.calibration.fitting.probability import (
    BINS,
    bent,
    calibration_error,
    fit_probability,
    sigmoid,
)


def drawn(count: int, seed: int, *, bend: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores and labels whose true log-odds are a line of the score, or a bent one."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, count)
    odds = (
        np.where(scores < 0.5, -4 + 0.2 * scores, -4 + 8 * (scores - 0.5))
        if bend
        else (2 * scores - 2)
    )
    labels = (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return scores, labels, np.arange(count) // 5


def error(made_seed: int, *, bend: bool, how: str) -> float:
    """Calibration error on unseen mentions of a map fitted on 4,000."""
    scores, labels, images = drawn(4000, made_seed, bend=bend)
    makers = {"sigmoid": sigmoid, "bent": bent}
    made = makers[how](scores, labels) if how in makers else fit_probability(scores, labels, images)
    scores, labels, images = drawn(20_000, made_seed + 100, bend=bend)
    return calibration_error(labels, made(scores), images, draws=10).value


def test_a_sigmoid_is_found_where_there_is_one() -> None:
    """On a straight truth the sigmoid's two knots are chosen, and its line is the truth's."""
    scores, labels, images = drawn(8000, 0, bend=False)
    made = fit_probability(scores, labels, images)
    assert len(made.scores) == 2
    np.testing.assert_allclose(made(np.array([1.0])), [0.5], atol=0.03)


def test_a_bend_is_followed() -> None:
    """On a bent truth the bent map is chosen and errs less than a sigmoid."""
    assert error(0, bend=True, how="best") == error(0, bend=True, how="bent")
    assert error(0, bend=True, how="bent") < 0.5 * error(0, bend=True, how="sigmoid")


@pytest.mark.parametrize("bend", [False, True])
def test_probabilities_of_unseen_mentions_hold(bend: bool) -> None:
    """The calibration error on mentions that made no part of the map is small."""
    for seed in range(3):
        assert error(seed, bend=bend, how="best") < 0.02


def test_scores_the_wrong_way_round_give_the_share() -> None:
    """Where high scores are the real ones, every probability is about the share of the others."""
    scores = np.array([-0.5, 0.5, 1.1, 1.2])
    made = fit_probability(scores, np.array([1, 1, 1, 0]), np.arange(4))
    assert made(scores) == pytest.approx(0.75, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.floats(1e-6, 1e6), st.booleans())
def test_the_map_always_rises(seed: int, count: int, scale: float, round_off: bool) -> None:
    """However few or coarse the scores, the map is a strictly rising one or is refused."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, count)
    scores = (np.round(scores) if round_off else scores) * scale
    labels = rng.integers(0, 2, count)
    if len(np.unique(labels)) < 2 or len(np.unique(scores)) < 2:
        with pytest.raises(ValueError, match="real and hallucinated mentions with different"):
            fit_probability(scores, labels, np.arange(count))
        return
    made = fit_probability(scores, labels, np.arange(count))
    found = made(np.sort(np.unique(scores)))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert found[0] < found[-1]


def test_mentions_without_a_score_are_left_out() -> None:
    """NaN changes neither the map nor the error, and stays NaN in between."""
    scores, labels, images = drawn(1000, 0, bend=False)
    gaps = np.r_[scores, np.full(7, np.nan)]
    more, where = np.r_[labels, np.ones(7, dtype=np.int64)], np.r_[images, np.full(7, 0)]
    made, same = fit_probability(scores, labels, images), fit_probability(gaps, more, where)
    np.testing.assert_array_equal(made.log_odds, same.log_odds)
    found = same(gaps)
    assert np.isnan(found[-7:]).all()
    assert calibration_error(more, found, where).value == pytest.approx(
        calibration_error(labels, made(scores), images).value
    )


def test_the_error_is_the_mean_gap_of_the_bins() -> None:
    """Worked by hand: each bin's mean probability against its share."""
    probabilities = np.repeat((np.arange(BINS) + 0.5) / BINS, 4)
    labels = np.zeros(4 * BINS, dtype=np.int64)
    found = calibration_error(labels, probabilities, np.arange(4 * BINS))
    assert found.value == pytest.approx(0.5)
    assert found.low <= 0.5 <= found.high
    labels[-4:] = 1
    better = calibration_error(labels, probabilities, np.arange(4 * BINS)).value
    last = (BINS - 0.5) / BINS
    assert better == pytest.approx(0.5 - (last - (1 - last)) / BINS)


def test_nothing_to_judge_has_no_error() -> None:
    """Without a probability the error is not defined."""
    none = np.zeros(0, dtype=np.int64)
    assert np.isnan(calibration_error(none, np.zeros(0), none).value)
