"""From a table to a calibration: who sees which images, and what comes out."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from sightline.calibration.collecting.table import CalibrationTable
from sightline.calibration.fitting.fit import STEPS, Fitted, evaluate, fit
from sightline.calibration.fitting.goal import Goal
from sightline.calibration.fitting.guarantee import NoThreshold, Threshold
from sightline.calibration.fitting.heldout import probabilities_of
from sightline.calibration.fitting.splits import split
from sightline.detectors.classifiers.heads import LinearHeadsClassifier
from sightline.detectors.detector import Detector
from sightline.detectors.extras import remedy
from sightline.detectors.named import DETECTORS

from ..tables import INFO, made_table


@pytest.fixture(scope="module")
def table() -> CalibrationTable:
    """500 made-up images."""
    return made_table(500)


@pytest.fixture(scope="module")
def fitted(table: CalibrationTable) -> Fitted:
    """A linear detector on them, with a promise."""
    return fit(table, detector="heads-linear", target="recall=0.7")


def test_a_promise_is_made_and_rests_on_the_threshold_part(
    table: CalibrationTable, fitted: Fitted
) -> None:
    """The guarantee counts the hallucinating images of that part, no others."""
    assert isinstance(fitted.outcome, Threshold)
    promised = fitted.calibrated.guarantee
    assert promised == fitted.outcome.guarantee
    part = table.of_images(split(table).threshold)
    assert promised is not None
    assert promised.images == len(np.unique(part.images[part.labels == 1]))
    assert fitted.held_out.counted == promised.images
    assert fitted.held_out.kept == pytest.approx(promised.measured)
    assert [one.images for one in fitted.parts] == [250, 100, 150]
    assert sum(one.mentions for one in fitted.parts) == len(table)


def test_conditions_are_those_of_the_table(table: CalibrationTable, fitted: Fitted) -> None:
    """Model, question, settings and the hash of the data travel with the calibration."""
    conditions = fitted.calibrated.conditions
    assert (conditions.model.name, conditions.model.revision) == (INFO.model, INFO.revision)
    assert (conditions.prompt, conditions.settings) == (INFO.prompt, INFO.settings)
    assert conditions.lexicon == INFO.lexicon
    assert conditions.table == table.data_hash
    assert "mapie" in fitted.calibrated.versions


def test_the_same_table_gives_the_same_calibration(table: CalibrationTable, fitted: Fitted) -> None:
    """Nothing is left to chance but the seed, not even the order of the images."""
    again = fit(
        table.of_images(np.arange(500)[::-1].copy()), detector="heads-linear", target="recall=0.7"
    )
    assert again.calibrated.threshold == fitted.calibrated.threshold
    other = fit(table, detector="heads-linear", target="recall=0.7", seed=1)
    assert other.calibrated.map.log_odds.tolist() != fitted.calibrated.map.log_odds.tolist()


def test_no_part_sees_the_labels_of_another(table: CalibrationTable, fitted: Fitted) -> None:
    """Turned labels in the threshold part change neither scores nor probabilities; in the
    probability part, the probabilities and not the scores."""
    made = split(table)

    def turned(part: np.ndarray) -> Fitted:
        inside = np.isin(table.images, part)
        # Turned within the image, so that the split stays as it is.
        labels = table.labels.copy()
        for image in part:
            rows = np.flatnonzero(table.images == image)
            labels[rows] = labels[rows][::-1]
        assert (labels[inside] != table.labels[inside]).any()
        return fit(replace(table, labels=labels), detector="heads-linear", target="recall=0.3")

    mentions = table.mentions
    scores = fitted.calibrated.scorer.score(mentions)
    late, middle = turned(made.threshold), turned(made.probability)
    np.testing.assert_array_equal(late.calibrated.scorer.score(mentions), scores)
    np.testing.assert_array_equal(middle.calibrated.scorer.score(mentions), scores)
    np.testing.assert_array_equal(late.calibrated.map.log_odds, fitted.calibrated.map.log_odds)
    assert middle.calibrated.map.log_odds.tolist() != fitted.calibrated.map.log_odds.tolist()
    assert late.layers == middle.layers == fitted.layers
    first = turned(made.fit)
    assert not np.array_equal(first.calibrated.scorer.score(mentions), scores)


def test_probabilities_of_other_images_hold(fitted: Fitted) -> None:
    """On freshly drawn images, expected and observed shares agree."""
    other = made_table(2000, seed=9)
    p = probabilities_of(fitted.calibrated, other)
    assert p.mean() == pytest.approx(other.labels.mean(), abs=0.03)


@pytest.mark.parametrize("target", ["recall=0.999", "precision=0.99", "false-alarm=0.001"])
def test_no_threshold_is_an_outcome(table: CalibrationTable, target: str) -> None:
    """What cannot be promised leaves a calibration that scores, never flags and says why."""
    done = fit(table, detector="heads-linear", target=target)
    assert isinstance(done.outcome, NoThreshold)
    assert done.calibrated.threshold is None
    assert done.calibrated.guarantee is None
    assert any(f"No threshold keeps {target}" in note for note in done.calibrated.limits)
    assert done.held_out.flagged.value == 0.0
    assert done.held_out.auroc.value > 0.6


def test_steps_are_told_as_they_begin(table: CalibrationTable) -> None:
    """Progress names each step once, in order."""
    told: list[str] = []
    fit(table, detector="entropy", on_step=told.append)
    assert tuple(told) == STEPS


def test_a_goal_may_be_given_whole(table: CalibrationTable, fitted: Fitted) -> None:
    """A goal says the same as its text and a confidence."""
    again = fit(table, detector="heads-linear", target=Goal("recall", 0.7, 0.9))
    assert again.outcome == fitted.outcome


def test_a_detector_may_be_ones_own(table: CalibrationTable, fitted: Fitted) -> None:
    """One made by hand as a named one is made gives its calibration, under its own name."""
    mine = Detector("mine", ("var",), LinearHeadsClassifier())
    own = fit(table, detector=mine, target="recall=0.7")
    assert own.calibrated.detector == "mine"
    assert own.calibrated.threshold == fitted.calibrated.threshold
    assert own.held_out == fitted.held_out


def test_bad_wishes_are_refused_before_work(table: CalibrationTable) -> None:
    """An unknown detector, target or confidence is named."""
    told: list[str] = []
    with pytest.raises(ValueError, match=r"detector must be one of .*was: 'magic'"):
        fit(table, detector="magic", on_step=told.append)
    with pytest.raises(ValueError, match="written as recall"):
        fit(table, detector="svar", target="all", on_step=told.append)
    with pytest.raises(ValueError, match="confidence of a promise"):
        fit(table, detector="svar", confidence=1.0, on_step=told.append)
    assert not told


def test_evidence_that_was_not_recorded_is_named(table: CalibrationTable) -> None:
    """A detector that reads what the table lacks says so, with the remedy."""
    unknown = np.full(len(table), np.nan, dtype=np.float32)
    bare = replace(table, mentions=replace(table.mentions, confidence=unknown))
    with pytest.raises(ValueError, match="confidence is NaN"):
        fit(bare, detector="lens")


def test_without_mapie_no_work_is_begun(
    table: CalibrationTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The missing extra is named before a detector is fitted."""
    monkeypatch.setitem(sys.modules, "mapie.risk_control", None)
    told: list[str] = []
    with pytest.raises(ImportError, match=re.escape(remedy("calibration"))):
        fit(table, detector="svar", on_step=told.append)
    assert not told


@pytest.mark.parametrize("detector", DETECTORS)
def test_thirty_images_are_enough_to_run(detector: str) -> None:
    """The least table gives a calibration, with a promise or the reason why not."""
    done = fit(made_table(30, seed=3), detector=detector, target="recall=0.9")
    assert isinstance(done.outcome, NoThreshold)
    assert "would do" in str(done.outcome) or "not likely to change" in str(done.outcome)


def test_other_images_are_evaluated(table: CalibrationTable, fitted: Fitted) -> None:
    """Figures on a second table, of the same model and of other images."""
    other = made_table(300, seed=7)
    other = replace(other, image_ids=tuple(f"other-{image_id}" for image_id in other.image_ids))
    found = evaluate(fitted, other, fitted_on=table)
    assert (found.images, found.mentions) == (300, len(other))
    assert found.auroc.value == pytest.approx(fitted.held_out.auroc.value, abs=0.1)


def test_images_it_was_fitted_on_prove_nothing(table: CalibrationTable, fitted: Fitted) -> None:
    """A table that shares images is refused, by number and example."""
    part = table.of_images(np.arange(20))
    with pytest.raises(ValueError, match=r"20 of the 20 images .* '000000\.png'"):
        evaluate(fitted, part, fitted_on=table)


def test_captions_of_another_model_prove_nothing(table: CalibrationTable, fitted: Fitted) -> None:
    """A table of other conditions is refused; other annotations are not another condition."""
    other = made_table(50, seed=7)
    elsewhere = replace(other, info=replace(INFO, model="another", annotations="2" * 64))
    with pytest.raises(ValueError, match=r"differ in model: .*another"):
        evaluate(fitted, elsewhere, fitted_on=table)
    others = replace(other, info=replace(INFO, annotations="2" * 64))
    assert evaluate(fitted, others, fitted_on=table).images == 50
