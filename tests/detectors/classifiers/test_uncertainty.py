"""Scores that are a single number of the token, turned so that high means hallucinated."""

from __future__ import annotations

import numpy as np
import pytest
from sightline.detectors.classifiers.lens import LensClassifier
from sightline.detectors.classifiers.uncertainty import UncertaintyClassifier

X = np.array([[0.1, 5.0], [0.2, 4.0], [0.8, 1.0], [0.9, 2.0]])
Y = np.array([0, 0, 1, 1])


def test_the_score_is_the_column() -> None:
    """As it is where it rises with hallucination, turned around where it falls."""
    rising = UncertaintyClassifier().fit(X, Y)
    np.testing.assert_array_equal(rising.scores(X), X[:, 0])
    falling = UncertaintyClassifier(rising=False, column=1).fit(X, Y)
    np.testing.assert_array_equal(falling.scores(X), -X[:, 1])
    np.testing.assert_array_equal(falling.predict(X), Y)


def test_the_cut_is_halfway() -> None:
    """Between the means of both classes: 0.15 and 0.85."""
    assert UncertaintyClassifier().fit(X, Y).cut() == pytest.approx(0.5)


def test_low_internal_confidence_means_hallucinated() -> None:
    """No image token speaks of the object (Eq. 2)."""
    found = LensClassifier().fit(X, 1 - Y)
    np.testing.assert_array_equal(found.scores(X), -X[:, 0])
    np.testing.assert_array_equal(found.predict(X), 1 - Y)


def test_a_column_that_is_not_there_is_refused() -> None:
    """With the columns there are."""
    with pytest.raises(ValueError, match=r"column must be between 0 and 1 \(inclusive\), was: 2"):
        UncertaintyClassifier(column=2).fit(X, Y)
