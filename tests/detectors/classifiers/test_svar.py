"""The range of layers, and the score that is minus SVAR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightline.detectors.classifiers.svar import SvarClassifier, auroc_within
from sklearn.metrics import roc_auc_score


def test_the_range_that_tells_most_is_chosen() -> None:
    """Layers 2 and 3 carry the signal, each with its own noise: their sum beats either."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    x = rng.normal(0, 1, (2000, 6))
    x[:, 2:4] -= y[:, None]
    found = SvarClassifier().fit(x, y)
    assert (found.first_, found.last_) == (2, 3)
    np.testing.assert_allclose(found.scores(x), -x[:, 2:4].sum(axis=1))
    assert found.auroc_ == pytest.approx(roc_auc_score(y, found.scores(x)))


def test_a_layer_that_counts_words_is_not_chosen() -> None:
    """Layer 0 only knows the position, and best overall; within positions it knows nothing."""
    rng = np.random.default_rng(1)
    position = rng.integers(0, 8, 4000)
    y = (rng.random(4000) < position / 8).astype(int)
    x = np.stack([-position + 0.1 * rng.normal(size=4000), rng.normal(-0.5 * y, 1)], axis=1)
    assert SvarClassifier().fit(x, y).first_ == 0
    chosen = SvarClassifier().fit(x, y, strata=position)
    assert (chosen.first_, chosen.last_) == (1, 1)


def test_strata_that_compare_nothing_are_left_aside() -> None:
    """One mention at each position: then all mentions are compared, and the choice still stands."""
    x = np.array([[0.5, 0.1], [0.1, 0.2], [0.5, 0.1], [0.0, 0.2]])
    found = SvarClassifier().fit(x, [0, 1, 0, 1], strata=np.arange(4))
    assert (found.first_, found.last_, found.auroc_) == (0, 0, 1)


def test_all_layers_are_summed_when_nothing_is_chosen() -> None:
    """A range that somebody gave is left as it is."""
    x = np.array([[0.5, 0.1], [0.1, 0.1], [0.5, 0.4], [0.0, 0.2]])
    found = SvarClassifier(choose=False).fit(x, [0, 1, 0, 1])
    assert (found.first_, found.last_) == (0, 1)
    np.testing.assert_allclose(found.scores(x), [-0.6, -0.2, -0.9, -0.2])
    np.testing.assert_array_equal(found.predict(x), [0, 1, 0, 1])


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40
    )
)
def test_auroc_within_counts_pairs(rows: list[tuple[int, int, int]]) -> None:
    """The same as comparing every hallucinated with every real mention of its stratum."""
    labels, scores, strata = (np.array(column) for column in zip(*rows, strict=True))
    pairs = [
        (s > t) + (s == t) / 2
        for y, s, a in rows
        for z, t, b in rows
        if y == 1 and z == 0 and a == b
    ]
    found = auroc_within(labels, scores.astype(float), strata)
    assert found == pytest.approx(np.mean(pairs) if pairs else np.nan, nan_ok=True)
