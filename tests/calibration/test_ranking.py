"""Rank statistics, against scikit-learn and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sightline.calibration.ranking import Ranking
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)


def _case(seed: int, ties: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, tied scores and weights (some of them 0) of a few mentions."""
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 30)]
    weights = np.c_[np.ones((4, 2)), rng.integers(0, 3, (4, 30))].astype(float)
    return labels, rng.integers(0, ties, 32).astype(float), weights


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_areas_are_those_of_scikit_learn(seed: int, ties: int) -> None:
    """AUROC and average precision of weighted, tied scores are the library's."""
    labels, scores, weights = _case(seed, ties)
    ranking = Ranking.of(labels, scores)
    for w, area, precision in zip(
        weights, ranking.auroc(weights), ranking.average_precision(weights), strict=True
    ):
        assert area == pytest.approx(roc_auc_score(labels, scores, sample_weight=w))
        assert precision == pytest.approx(average_precision_score(labels, scores, sample_weight=w))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_curves_are_those_of_scikit_learn(seed: int, ties: int) -> None:
    """The ROC is the library's polygon; precision is that of the last threshold with the recall."""
    labels, scores, weights = _case(seed, ties)
    ranking = Ranking.of(labels, scores)
    x, y, _ = roc_curve(labels, scores, sample_weight=weights[0], drop_intermediate=False)
    inner = np.linspace(0, 1, 23)[1:-1] + 1e-6  # beside the steps, where either end would do
    assert ranking.roc(weights, inner)[0] == pytest.approx(np.interp(inner, x, y))
    p, r, _ = precision_recall_curve(labels, scores, sample_weight=weights[0])
    wanted = [p[:-1][r[:-1] >= recall - 1e-9][-1] for recall in (0.25, 0.5, 1.0)]
    assert ranking.precision_at(weights, np.array([0.25, 0.5, 1.0]))[0] == pytest.approx(wanted)


def test_strata_are_never_compared() -> None:
    """Each stratum counts by its pairs, and a stratum of one label not at all."""
    labels = np.array([0, 1, 0, 0, 1, 1, 1])
    strata = np.array([0, 0, 1, 1, 1, 1, 2])
    score = np.array([0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 5.0])
    found = Ranking.of(labels, score, strata).auroc(np.ones((2, 7)))
    assert found == pytest.approx([(1 * 1 + 4 * 0) / 5] * 2)


def test_weights_of_one_label_are_undefined() -> None:
    """A draw without hallucinated mentions has no AUROC and no average precision."""
    ranking = Ranking.of([0, 1], [0.0, 1.0])
    assert np.isnan(ranking.auroc([[1.0, 0.0]])).all()
    assert np.isnan(ranking.average_precision([[1.0, 0.0]])).all()


def test_what_cannot_be_ranked_is_refused() -> None:
    """No mentions, scores that are not finite, and flagging across strata have clear errors."""
    with pytest.raises(ValueError, match="at least one mention"):
        Ranking.of([], [])
    with pytest.raises(ValueError, match="1 of 2 were not"):
        Ranking.of([0, 1], [0.0, np.nan])
    with pytest.raises(ValueError, match="2 strata"):
        Ranking.of([0, 1], [0.0, 1.0], [0, 1]).average_precision(np.ones((1, 2)))
