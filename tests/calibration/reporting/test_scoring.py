"""Who learns from what, and who is asked about what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sightline.calibration.collecting.table import CalibrationTable
from sightline.calibration.fitting.scores import Scores
from sightline.calibration.reporting.scoring import NotMeasured, Trial, limits

from ..tables import made_table


def other(images: int = 80, *, seed: int = 1) -> CalibrationTable:
    """A table of images that no other table has."""
    table = made_table(images, seed=seed)
    return replace(table, image_ids=tuple(f"other-{name}" for name in table.image_ids))


def without_lens(table: CalibrationTable) -> CalibrationTable:
    """The same captions, as if internal confidence had not been recorded."""
    unknown = np.full(len(table), np.nan, np.float32)
    return replace(table, mentions=replace(table.mentions, confidence=unknown))


def test_no_image_is_in_two_parts() -> None:
    """Held out or not: what fits, what makes probabilities and what is asked about are apart."""
    table = made_table(120)
    for trial in (Trial.of(table), Trial.of(table, [other()])):
        names = [set(part.image_ids) for part in (trial.fit, trial.probability, *trial.on)]
        assert sum(map(len, names)) == len(set.union(*names))
        assert all(names)


def test_detectors_are_asked_about_every_table() -> None:
    """Each answer has a score and a probability for each mention of each table."""
    tables = [other(), other(90, seed=2)]
    trial = Trial.of(made_table(120), tables)
    answers = {found[0].detector: found for found in trial.score(["svar", "prior"])}
    assert set(answers) == {"svar", "prior"}
    for found in answers.values():
        for scores, table in zip(found, tables, strict=True):
            assert isinstance(scores, Scores)
            assert scores.scores.shape == (len(table),)
            assert scores.probabilities is not None
            assert ((scores.probabilities > 0) & (scores.probabilities < 1)).all()
    svar = answers["svar"][0]
    assert isinstance(svar, Scores)
    assert svar.layers is not None


def test_missing_evidence_is_said_with_its_remedy() -> None:
    """Where the lens was not recorded, on either side, the lens detector is not measured."""
    whole = made_table(120)
    for trial in (Trial.of(without_lens(whole)), Trial.of(whole, [without_lens(other())])):
        ((found,),) = trial.score(["lens"])
        assert isinstance(found, NotMeasured)
        assert "confidence" in found.reason
        assert "--lens" in found.reason


def test_a_few_unknown_mentions_do_not_stop_a_fit() -> None:
    """Mentions whose logits were not finite are left out of the fit and have no score."""
    table = made_table(120)
    holes = table.mentions.log_prob.copy()
    holes[::7] = np.nan
    table = replace(table, mentions=replace(table.mentions, log_prob=holes))
    ((found,),) = Trial.of(table).score(["log-prob"])
    assert isinstance(found, Scores)
    assert 0 < found.judged.sum() < len(found.scores)


def test_images_learned_from_are_not_asked_about() -> None:
    """The same images in both tables are refused; the same names under other annotations pass."""
    table = made_table(120)
    with pytest.raises(ValueError, match="not be measured on images that it learned from, 50 of"):
        Trial.of(table, [made_table(50, seed=1)])
    elsewhere = made_table(50, seed=1)
    elsewhere = replace(elsewhere, info=replace(elsewhere.info, annotations="2" * 64))
    assert len(Trial.of(table, [elsewhere]).on) == 1


def test_one_kind_of_mention_is_refused() -> None:
    """Nothing can be told apart where all mentions are real."""
    table = other()
    with pytest.raises(ValueError, match="0 hallucinated ones in 80 captions"):
        Trial.of(made_table(120), [replace(table, labels=np.zeros_like(table.labels))])


def test_few_images_and_unlabelled_mentions_are_marked() -> None:
    """What limits the figures is said, and nothing is said where nothing does."""
    assert limits(made_table(40)) == ()
    few, unlabelled = limits(replace(made_table(20), unlabelled=3))
    assert "20 images, fewer than 30" in few
    assert "3 mentions are left out" in unlabelled
