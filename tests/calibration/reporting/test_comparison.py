"""Detectors side by side: against scikit-learn, and against what must be so."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from sightline.calibration.fitting.scores import Scores
from sightline.calibration.reporting.comparison import Comparison, compare, measure
from sightline.calibration.reporting.scoring import Trial
from sklearn.metrics import average_precision_score, roc_auc_score

from ..tables import made_table
from .test_scoring import other, without_lens


@pytest.fixture(scope="module")
def trial() -> Trial:
    """Detectors learn from 120 captions and are asked about 80 others."""
    return Trial.of(made_table(120), [other()])


@pytest.fixture(scope="module")
def compared(trial: Trial) -> Comparison:
    """A few detectors on them."""
    (found,) = compare(trial, ["svar", "prior", "log-prob"], draws=60)
    return found


def test_figures_are_those_of_scikit_learn(trial: Trial, compared: Comparison) -> None:
    """Areas overall and of first mentions are the library's, on the same scores."""
    ((scores,),) = trial.score(["svar"])
    assert isinstance(scores, Scores)
    (table,) = trial.on
    row, first = compared.rows[0], table.first
    assert row.auroc.value == pytest.approx(roc_auc_score(table.labels, scores.scores))
    assert row.first_average_precision.value == pytest.approx(
        average_precision_score(table.labels[first], scores.scores[first])
    )


def test_lift_is_paired_with_the_prior(compared: Comparison) -> None:
    """It is the difference of the two rows, closer than two independent intervals would make it."""
    svar, prior, _ = compared.rows
    assert prior.lift is None
    assert svar.lift is not None
    assert svar.within_lift is not None
    assert svar.lift.value == pytest.approx(svar.auroc.value - prior.auroc.value)
    assert svar.within_lift.value == pytest.approx(
        svar.within_auroc.value - prior.within_auroc.value
    )
    assert svar.lift.low < svar.lift.value < svar.lift.high


def test_a_detector_equal_to_the_prior_has_no_lift(trial: Trial) -> None:
    """Paired on the same redraws, the same scores differ by exactly nothing."""
    ((prior,),) = trial.score(["prior"])
    assert isinstance(prior, Scores)
    twin = replace(prior, detector="twin")
    (row,) = measure(trial, trial.on[0], [twin], prior=prior, draws=40).rows
    assert row.lift is not None
    assert (row.lift.value, row.lift.low, row.lift.high) == (0, 0, 0)


def test_what_was_measured_is_said(trial: Trial, compared: Comparison) -> None:
    """Both tables are described by their counts and hashes."""
    (table,) = trial.on
    assert compared.on.data == table.data_hash
    assert (compared.on.images, compared.on.mentions) == (80, len(table))
    assert compared.on.hallucinated == table.labels.sum()
    assert compared.fit.data == trial.fit.data_hash


def test_what_cannot_be_measured_is_listed() -> None:
    """Without lens evidence the lens detector has no row but a reason; the others have theirs."""
    trial = Trial.of(made_table(120), [without_lens(other())])
    (found,) = compare(trial, ["lens", "svar"], draws=20)
    assert [row.detector for row in found.rows] == ["svar"]
    assert [missing.detector for missing in found.missing] == ["lens"]


@pytest.mark.once
def test_processes_change_nothing(trial: Trial) -> None:
    """Two processes give the figures of one, and report each step once."""
    done: list[str] = []
    names = ["svar", "entropy"]
    (alone,) = compare(trial, names, draws=20, progress=done.append)
    (together,) = compare(trial, names, draws=20, jobs=2)
    assert alone == together
    assert sorted(done) == ["entropy", "entropy", "prior", "svar", "svar"]


@pytest.mark.once
def test_thousands_of_mentions_take_seconds() -> None:
    """400 redraws of 27,000 mentions cost little more than sorting them."""
    table = made_table(6500)
    assert len(table) > 25_000
    scores = Scores("noise", "predicting", np.random.default_rng(0).normal(size=len(table)))
    trial = Trial(table, table, (table,))
    start = time.perf_counter()
    (row,) = measure(trial, table, [scores], prior=scores).rows
    assert time.perf_counter() - start < 30
    assert row.calibration_error is None
    assert row.auroc.low < 0.5 < row.auroc.high
