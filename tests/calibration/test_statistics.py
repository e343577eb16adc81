"""Figures with intervals, against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sightline.calibration.statistics import (
    auroc,
    auroc_within,
    by_image,
    difference,
    drawn_by_image,
    means_by_image,
    ratio,
    relative_change,
)


def test_auroc_of_a_perfect_and_a_blind_score() -> None:
    """A score that separates is 1, one that is constant .5, one label alone undefined."""
    labels = np.array([0, 0, 1, 1])
    assert auroc(labels, np.array([0.1, 0.2, 0.3, 0.4])) == 1.0
    assert auroc(labels, np.ones(4)) == 0.5
    assert np.isnan(auroc(np.ones(4, int), np.arange(4.0)))


def test_within_strata_position_is_worth_nothing() -> None:
    """A score that is the stratum itself is perfect overall and .5 within strata."""
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    strata = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert auroc(labels, strata.astype(float)) > 0.7
    assert auroc_within(labels, strata.astype(float), strata) == 0.5


def test_within_strata_counts_pairs() -> None:
    """Strata weigh by their pairs of a hallucinated and a real mention."""
    labels = np.array([0, 1, 0, 0, 1, 1])
    strata = np.array([0, 0, 1, 1, 1, 1])
    score = np.array([0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    assert auroc_within(labels, score, strata) == pytest.approx((1 * 1 + 4 * 0) / 5)
    assert np.isnan(auroc_within(labels, score, np.arange(6)))


def test_ratio_interval_holds_its_level() -> None:
    """The 95% interval of a known share holds it about that often."""
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        under = rng.integers(1, 6, size=150)
        over = rng.binomial(under, 0.3)
        found = ratio(over, under, draws=300, seed=trial)
        held += found.low <= 0.3 <= found.high
    assert 0.89 <= held / 200 <= 0.99


def test_interval_follows_images_not_mentions() -> None:
    """Mentions that agree within an image widen the interval as if they were one."""
    wrong = np.tile([0, 10], 30)
    clustered = ratio(wrong, np.full(60, 10))
    spread = ratio(np.full(60, 5), np.full(60, 10))
    assert clustered.value == spread.value == 0.5
    assert clustered.high - clustered.low > 0.2
    assert spread.high - spread.low == 0.0


def test_paired_change_of_equal_arms_is_zero() -> None:
    """A treatment that changes nothing has an interval of nothing."""
    a, b = np.array([1, 2, 0, 3]), np.array([4, 4, 4, 4])
    change = relative_change(a, b, a, b)
    assert (change.value, change.low, change.high) == (0.0, 0.0, 0.0)
    halved = relative_change(a / 2, b, a, b)
    assert halved.value == pytest.approx(-0.5)
    assert halved.high < 0
    assert difference(a, b, a / 2, b).value == pytest.approx(6 / 16 - 3 / 16)


def test_by_image_redraws_whole_images() -> None:
    """The statistic is given weights that are equal within each image."""
    images = np.array([3, 3, 5, 5, 9])

    def statistic(weights: np.ndarray) -> float:
        assert weights[0] == weights[1]
        assert weights[2] == weights[3]
        return float(weights.sum())

    assert by_image(statistic, images, draws=20).value == 5.0


def test_nothing_divided_by_nothing_is_undefined() -> None:
    """No mentions at all give NaN, not a crash and not zero."""
    assert np.isnan(ratio([0, 0], [0, 0]).value)


def test_paired_draws_are_of_the_same_images() -> None:
    """A figure minus itself is exactly nothing in every draw."""
    images = np.repeat(np.arange(20), 3)
    values = np.random.default_rng(0).normal(size=60)
    found = drawn_by_image(lambda w: (w @ values) / w.sum(axis=1), images, draws=60)
    assert found.value == pytest.approx(values.mean())
    assert found.estimate.low < found.value < found.estimate.high
    twin = (found - found).estimate
    assert (twin.value, twin.low, twin.high) == (0.0, 0.0, 0.0)


def test_means_by_image_of_some_rows() -> None:
    """Each column is the mean of the rows that count for it; none is undefined."""
    values = np.array([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0], [8.0, 8.0, 8.0]])
    counted = np.array([[True, True, False], [True, False, False], [False, True, False]])
    mean, low, high = means_by_image(values, counted, np.array([0, 0, 1]), draws=50)
    assert mean[:2].tolist() == [2.0, 4.5]
    assert np.isnan(mean[2])
    assert (low[:2] <= mean[:2]).all()
    assert (mean[:2] <= high[:2]).all()
    assert (low[0], high[0]) == (2.0, 2.0)  # one image alone has it: redrawing changes nothing
