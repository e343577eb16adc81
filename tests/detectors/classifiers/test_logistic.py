"""Logistic regression with an offset: what it shares with scikit-learn's, and what is its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sightline.detectors.classifiers.logistic import (
    PENALTIES,
    fit_logistic,
    fit_logistic_by_group,
    grouped_folds,
)
from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float64]


def _draw(odds: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.asarray(rng.random(len(odds)) < 1 / (1 + np.exp(-odds)), dtype=np.int64)


@pytest.mark.parametrize("penalty", [0.1, 10.0, 1000.0])
def test_without_offset_it_is_scikit_learns(penalty: float) -> None:
    """The same optimum, whose penalty scikit-learn writes as 1 / C."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4))
    y = _draw(x @ [1.0, -2.0, 0.0, 0.5] - 1, rng)
    ours = fit_logistic(x, y, penalty=penalty)
    theirs = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000).fit(x, y)
    np.testing.assert_allclose(ours.weights, theirs.coef_[0], atol=2e-3)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], abs=2e-3)
    np.testing.assert_allclose(ours.log_odds(x), theirs.decision_function(x), atol=1e-2)


def test_what_the_offset_knows_is_not_learned_again() -> None:
    """Two columns make the label; with the first one's share as the offset only the second counts,
    and without it both do."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20000, 2))
    known = 2.0 * x[:, 0] - 1
    y = _draw(known + 1.5 * x[:, 1], rng)
    found = fit_logistic(x, y, penalty=1.0, offset=known)
    np.testing.assert_allclose(found.weights, [0, 1.5], atol=0.08)
    assert found.intercept == pytest.approx(0, abs=0.08)
    np.testing.assert_allclose(fit_logistic(x, y, penalty=1.0).weights, [2, 1.5], atol=0.1)


def test_single_precision_finds_the_same() -> None:
    """Large tables are fitted in float32."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2000, 30))
    y = _draw(x[:, 0], rng)
    double = fit_logistic(x, y, penalty=10.0)
    single = fit_logistic(x.astype(np.float32), y, penalty=10.0)
    np.testing.assert_allclose(single.weights, double.weights, atol=1e-3)


def test_images_are_held_out_whole() -> None:
    """Ten copies of a mention in one image: column by column they give their own label away, unless
    the image is held out whole, and then the noise deserves the strongest penalty."""
    rng = np.random.default_rng(3)
    images = np.repeat(np.arange(60), 10)
    x = rng.normal(size=(60, 40))[images]
    y = rng.integers(0, 2, 60)[images]
    whole = fit_logistic_by_group(x, y, groups=images)
    torn = fit_logistic_by_group(x, y, groups=np.random.default_rng(4).permutation(600))
    assert whole.penalty == PENALTIES[0]
    assert torn.penalty < PENALTIES[3]


def test_a_clear_signal_gets_a_weak_penalty() -> None:
    """With many images and one telling column, shrinking it only hurts."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3000, 2))
    y = _draw(4 * x[:, 0], rng)
    assert fit_logistic_by_group(x, y, groups=np.arange(3000) // 3).penalty <= 10


def test_folds_keep_images_whole_and_hold_both_labels() -> None:
    """No image on both sides; folds that could not be judged are left out."""
    images = np.arange(40) // 4
    labels = (np.arange(40) % 4 == 0).astype(np.int64)
    folds = grouped_folds(labels, images)
    assert len(folds) == 5
    for train, held in folds:
        assert not set(images[train]) & set(images[held])
    assert grouped_folds(labels, np.zeros(40, np.int64)) == []
    assert grouped_folds((images == 0).astype(np.int64), images) == []


def test_with_one_image_the_strongest_penalty_is_taken() -> None:
    """Nothing can be held out, so nothing is believed that was not shown elsewhere."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(50, 3))
    y = (x[:, 0] > 0).astype(np.int64)
    assert fit_logistic_by_group(x, y, groups=np.zeros(50, np.int64)).penalty == PENALTIES[0]
