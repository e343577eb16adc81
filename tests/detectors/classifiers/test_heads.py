"""Classifiers on every layer and head."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sightline.detectors.classifiers.estimators import LogOddsClassifier
from sightline.detectors.classifiers.heads import LinearHeadsClassifier, NetworkHeadsClassifier
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier


def _heads(count: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Ten heads, one of which sees."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    x = rng.normal(-3, 1, (count, 10))
    x[:, 4] -= 2 * y
    return x, y


@pytest.mark.parametrize("found", [LinearHeadsClassifier(), NetworkHeadsClassifier()])
def test_the_head_that_sees_is_found(found: LogOddsClassifier) -> None:
    """One head in ten, two spreads apart: as good on new mentions as that head alone can be."""
    found.fit(*_heads(3000, 0))
    x, y = _heads(3000, 1)
    best = roc_auc_score(y, -x[:, 4])
    assert roc_auc_score(y, found.scores(x)) > best - 0.01
    assert found.predict_proba(x)[y == 1, 1].mean() > 0.75


def test_a_network_bends_where_a_line_cannot() -> None:
    """Hallucinated where two heads agree: no line tells, one hidden layer does."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4000, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    images = np.arange(4000) // 4
    line = LinearHeadsClassifier().fit(x, y, groups=images)
    network = NetworkHeadsClassifier().fit(x, y, groups=images)
    assert roc_auc_score(y, line.scores(x)) < 0.6
    assert roc_auc_score(y, network.scores(x)) > 0.95


def test_the_network_is_scikit_learns() -> None:
    """Scores from the kept weights are the log-odds of the network they were taken from."""
    x, y = _heads(200, 3)
    found = NetworkHeadsClassifier(epochs=1).fit(x, y, groups=np.zeros(200))
    data = (x - found.mean_) / found.scale_
    theirs: Any = MLPClassifier((64,), alpha=0.1, random_state=0)
    theirs.set_params(batch_size=64)
    probability = theirs.partial_fit(data, y, classes=[0, 1]).predict_proba(data)[:, 1]
    odds = np.log(probability / (1 - probability))
    np.testing.assert_allclose(found.scores(x), odds, rtol=1e-6, atol=1e-9)


def test_training_stops_when_held_out_images_get_worse() -> None:
    """Labels that nothing explains: what is learned after a few passes is learned by heart."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(600, 10)), rng.integers(0, 2, 600)
    found = NetworkHeadsClassifier(patience=3).fit(x, y, groups=np.arange(600) // 3)
    assert found.epochs_ < 30


def test_a_head_that_never_looks_does_no_harm() -> None:
    """A constant column is no division by zero, and has no say."""
    x, y = _heads(400, 5)
    x[:, 7] = -9.21
    for found in (LinearHeadsClassifier(), NetworkHeadsClassifier(epochs=3)):
        scores = found.fit(x, y).scores(x)
        assert np.isfinite(scores).all()
