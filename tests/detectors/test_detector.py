"""Named detectors: fitted on tables, asked for one mention, taken apart and put together."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sightline.detectors.detector import Detector
from sightline.detectors.mentions import Mentions
from sightline.detectors.named import DETECTORS, detector
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from .synthetic import images, labels, mentions

COUNT = 240


@pytest.fixture(scope="module")
def fitted() -> dict[str, Detector]:
    """Every detector, fitted on the same mentions."""
    some, y, which = mentions(COUNT), labels(COUNT), images(COUNT)
    return {name: detector(name).fit(some, y, which) for name in DETECTORS}


def test_polarity() -> None:
    """Whatever is low for what was seen: a high score means hallucinated, for every detector."""
    some, y, which = mentions(COUNT), labels(COUNT), images(COUNT)
    masses = some.masses.copy()
    masses[y == 1, :, :, 0] *= 0.2
    seen = replace(
        some,
        index=np.where(y == 1, 5, some.index),
        masses=masses,
        naming=masses,
        log_prob=some.log_prob - 3 * y.astype(np.float32),
        entropy=some.entropy + 3 * y.astype(np.float32),
        margin=some.margin - 3 * y.astype(np.float32),
        confidence=some.confidence - y.astype(np.float32),
    )
    for name in DETECTORS:
        found = detector(name).fit(seen, y, which)
        assert roc_auc_score(y, found.score(seen)) > 0.8, name


@pytest.mark.parametrize("name", DETECTORS)
def test_a_mention_alone_scores_as_in_its_table(name: str, fitted: dict[str, Detector]) -> None:
    """Online and offline are the same functions; sums of different length may round apart."""
    some = mentions(9, seed=2)
    together = fitted[name].score(some)
    alone = [float(fitted[name].score(some.take(np.array([row])))[0]) for row in range(9)]
    assert together.dtype == np.float64
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", DETECTORS)
def test_taken_apart_and_put_together(name: str, fitted: dict[str, Detector]) -> None:
    """Through JSON and plain arrays, and to the bit the same scores."""
    known, arrays = fitted[name].state()
    again = Detector.from_state(json.loads(json.dumps(known)), arrays)
    some = mentions(20, seed=3)
    np.testing.assert_array_equal(again.score(some), fitted[name].score(some))
    assert (again.name, again.timing, again.columns) == (
        name,
        fitted[name].timing,
        fitted[name].columns,
    )
    assert all(array.dtype.kind in "fiu" for array in arrays.values())


@pytest.mark.parametrize("name", DETECTORS)
def test_no_mentions_have_no_scores(name: str, fitted: dict[str, Detector]) -> None:
    """A caption without objects is scored too."""
    assert fitted[name].score(mentions(2).take(np.zeros(2, dtype=np.bool_))).shape == (0,)


@pytest.mark.parametrize("name", DETECTORS)
def test_columns_name_the_matrix(name: str, fitted: dict[str, Detector]) -> None:
    """One name for each column that the classifier takes."""
    found = fitted[name]
    assert found.matrix(mentions(3)).shape == (3, len(found.columns))


def test_evidence_that_is_not_finite_gets_no_score(fitted: dict[str, Detector]) -> None:
    """NaN never becomes a score, and the other mentions keep theirs."""
    some = mentions(4, seed=5)
    masses, entropy = some.masses.copy(), some.entropy.copy()
    masses[1], entropy[2] = np.nan, np.inf
    broken = replace(some, masses=masses, entropy=entropy)
    for name, row in (("svar", 1), ("heads-linear", 1), ("entropy", 2)):
        found, sound = fitted[name].score(broken), fitted[name].score(some)
        assert np.flatnonzero(np.isnan(found)).tolist() == [row]
        np.testing.assert_allclose(np.delete(found, row), np.delete(sound, row), rtol=1e-5)


def test_svar_watches_its_range_alone(fitted: dict[str, Detector]) -> None:
    """The layers outside the chosen range need not be watched to score with it."""
    some = mentions(8, seed=4)
    found = fitted["svar"]
    assert found.layers is not None
    mean = some.within(found.layers).masses[..., 0].mean(axis=-1).sum(axis=-1)
    np.testing.assert_allclose(found.score(some), -mean, rtol=1e-6)
    np.testing.assert_array_equal(found.score(some.within(found.layers)), found.score(some))


def test_what_reads_no_attention_needs_no_layers(fitted: dict[str, Detector]) -> None:
    """Entropy can be had without a tap."""
    assert fitted["entropy"].layers == ()
    assert not fitted["entropy"].layered
    assert np.isfinite(fitted["entropy"].score(mentions(3, layers=(8, 9)))).all()


def test_layers_that_were_not_watched_are_named(fitted: dict[str, Detector]) -> None:
    """A verdict on other layers would be another quantity."""
    with pytest.raises(ValueError, match=r"missing: \[0\]"):
        fitted["heads-linear"].score(mentions(3, layers=(1, 2, 3)))


def test_other_heads_are_another_model(fitted: dict[str, Detector]) -> None:
    """The same layers with another number of heads cannot be scored."""
    some = mentions(3)
    wide = replace(some, masses=np.repeat(some.masses, 2, axis=2))
    with pytest.raises(ValueError, match="with 2 heads, these have 4"):
        fitted["svar"].score(wide)


def test_unfitted_detectors_do_not_score() -> None:
    """fit() returns the fitted one; the other stays as it was."""
    bare = detector("entropy")
    bare.fit(mentions(COUNT), labels(COUNT), images(COUNT))
    for ask in (lambda: bare.score(mentions(1)), lambda: bare.state(), lambda: bare.columns):
        with pytest.raises(NotFittedError, match="use what it returns"):
            ask()


@pytest.mark.parametrize(
    ("y", "which", "message"),
    [
        (np.zeros(8), np.arange(8), "both classes to be fitted, all 8 are real"),
        (np.ones(8), np.arange(8), "all 8 are hallucinated"),
        (np.arange(8), np.arange(8), r"must be 0 \(real\) or 1 \(hallucinated\), had: \[0, 1, 2"),
        (np.zeros(7), np.arange(8), r"labels must have shape \(8,\)"),
        (np.arange(8) % 2, np.arange(7), r"images must have shape \(8,\)"),
    ],
)
def test_labels_that_teach_nothing_are_refused(
    y: np.ndarray, which: np.ndarray, message: str
) -> None:
    """Rule, value and remedy, before anything is fitted."""
    with pytest.raises(ValueError, match=message):
        detector("svar").fit(mentions(8), y, which)


def _without_lens(some: Mentions) -> Mentions:
    return replace(some, confidence=np.full(len(some), np.nan, np.float32))


def test_what_was_not_recorded_cannot_be_fitted() -> None:
    """The error names the feature, how many mentions lack it, and how to record it."""
    some = _without_lens(mentions(8))
    with pytest.raises(ValueError, match=r"confidence is NaN or infinite in 8 of 8 .* --lens"):
        detector("lens").fit(some, np.arange(8) % 2, np.arange(8))


def test_a_changed_state_is_refused(fitted: dict[str, Detector]) -> None:
    """A class outside the list, a part missing, of another shape or not finite, other columns."""
    known, arrays = fitted["heads-linear"].state()
    inner = known["estimator"]
    for changed in (
        {**known, "estimator": {**inner, "class": "MLPClassifier"}},
        {**known, "estimator": {**inner, "values": {}}},
        {**known, "estimator": {**inner, "columns": 3}},
        {**known, "estimator": {**inner, "parameters": {"verbose": 1}}},
        {**known, "features": ["masses"]},
        {**known, "features": ["__class__"]},
        {**known, "heads": 3},
        {"name": "heads-linear"},
    ):
        with pytest.raises(ValueError, match=r"state|one of"):
            Detector.from_state(changed, arrays)
    for name in arrays:
        for array in (arrays[name][:-1], arrays[name] * np.nan):
            with pytest.raises(ValueError, match="state"):
                Detector.from_state(known, {**arrays, name: array})
    with pytest.raises(ValueError, match="state"):
        Detector.from_state(known, {})
