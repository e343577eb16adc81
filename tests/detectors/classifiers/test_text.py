"""The text-only prior: an estimator like any other, smooth, and blind to its own labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sightline.detectors.classifiers.text import TextPrior
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks


def _no_codes(estimator: Any) -> dict[str, str]:
    if estimator.object_column is None:
        return {}
    return {"check_classifiers_train": "its columns are measurements: no value comes twice"}


@parametrize_with_checks(
    [TextPrior(object_column=None), TextPrior(object_column=-1)], expected_failed_checks=_no_codes
)  # type: ignore[untyped-decorator]  # scikit-learn is untyped
def test_it_obeys_scikit_learn(estimator: Any, check: Any) -> None:
    """Every common check of scikit-learn holds, with and without an object column."""
    check(estimator)


def _captions(seed: int, images: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, labels and images of mentions whose risk grows with position and the object."""
    rng = np.random.default_rng(seed)
    rows, labels, owners = [], [], []
    for image in range(images):
        for index in range(rng.integers(3, 9)):
            code = int(rng.integers(0, 20))
            odds = -3 + 0.5 * index + (2.0 if code < 4 else 0.0)
            rows.append((index, 9 * index + rng.integers(0, 5), rng.integers(0, 2), code))
            labels.append(rng.random() < 1 / (1 + np.exp(-odds)))
            owners.append(image)
    return np.array(rows, float), np.array(labels, int), np.array(owners)


def test_it_learns_position_and_objects() -> None:
    """On new captions, position counts, and the object adds to it."""
    x, y, _ = _captions(0)
    new, truth, _ = _captions(1)
    full = TextPrior().fit(x, y)
    blind = TextPrior(object_column=None).fit(x[:, :3], y)
    with_objects = roc_auc_score(truth, full.decision_function(new))
    without = roc_auc_score(truth, blind.decision_function(new[:, :3]))
    assert with_objects > without + 0.03
    assert without > 0.65
    assert full.predict_proba(new)[:, 1].mean() == pytest.approx(truth.mean(), abs=0.04)


def test_an_object_answers_only_for_what_its_place_does_not_explain() -> None:
    """One that is always named late, and hallucinated as often as all that is, adds nothing."""
    rng = np.random.default_rng(0)
    late = rng.integers(0, 2, 8000)
    code = np.where(late == 1, rng.integers(1, 3, 8000), 0)
    y = rng.random(8000) < np.where(late == 1, 0.5, 0.05)
    x = np.column_stack([6 * late, 60 * late, np.zeros(8000), code]).astype(float)
    prior = TextPrior().fit(x, y)
    assert abs(prior.code_log_odds_[2] - prior.code_log_odds_[1]) < 0.25
    guilty = TextPrior().fit(x, np.where(code == 2, rng.random(8000) < 0.9, y))
    assert guilty.code_log_odds_[2] > guilty.code_log_odds_[1] + 1


def test_curves_are_smooth_and_flat_beyond_what_was_seen() -> None:
    """No jumps between neighbouring positions, and nothing wild after the longest caption."""
    x, y, _ = _captions(0)
    prior = TextPrior(object_column=None).fit(x[:, :1], y)
    steps = prior.decision_function(np.linspace(0, 8, 801)[:, None])
    assert np.abs(np.diff(steps)).max() < 0.05
    last, far = prior.decision_function([[x[:, 0].max()], [10_000]])
    assert last == far
    assert np.abs(prior.decision_function([[-5]])[0]) < 10


def test_an_unknown_object_is_an_average_one() -> None:
    """A code that was never seen leaves the score to position."""
    x, y, _ = _captions(0)
    prior = TextPrior().fit(x, y)
    place = np.array([[2.0, 20.0, 0.0]])
    scores = [prior.decision_function(np.c_[place, [[code]]])[0] for code in (0, -1, 999, 12)]
    assert scores[1] == scores[2]
    assert scores[0] > scores[1] > scores[3]


def test_arrays_carry_everything() -> None:
    """What is read back from plain arrays scores the same, bit for bit."""
    x, y, _ = _captions(0)
    for prior, columns in (
        (TextPrior().fit(x, y), x),
        (TextPrior(object_column=None).fit(x[:, :3], y), x[:, :3]),
        (TextPrior().fit(x * [0, 1, 1, 1], y), x),
    ):
        again = TextPrior.from_arrays(prior.to_arrays())
        np.testing.assert_array_equal(
            again.decision_function(columns), prior.decision_function(columns)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coef": np.zeros(3)}, "fit one another"),
        ({"codes": np.zeros(1)}, "fit one another"),
        ({"knots": np.full(2, np.nan)}, "finite"),
        ({"intercept": np.array([np.inf])}, "finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    """Arrays of a damaged file do not become a prior."""
    x, y, _ = _captions(0, 50)
    with pytest.raises(ValueError, match=message):
        TextPrior.from_arrays({**TextPrior().fit(x, y).to_arrays(), **change})
    with pytest.raises(ValueError, match="missing: "):
        TextPrior.from_arrays({})


def test_faulty_input_is_refused() -> None:
    """One class, a scale of nothing and a column that is not there are named."""
    x, y, _ = _captions(0, 50)
    with pytest.raises(ValueError, match=r"all .* are of one class: 0"):
        TextPrior().fit(x, np.zeros(len(x)))
    with pytest.raises(ValueError, match="object_scale must be positive and finite, was: 0"):
        TextPrior(object_scale=0).fit(x, y)
    with pytest.raises(ValueError, match="one of the 3 columns"):
        TextPrior().fit(x[:, :3], y)
    with pytest.raises(ValueError, match="knots must be at least 2, was: 1"):
        TextPrior(knots=1).fit(x, y)
