"""Figures of a calibrated detector, against mentions whose verdicts are known by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sightline.calibration.fitting.fit import fit
from sightline.calibration.fitting.heldout import HeldOut, probabilities_of
from sightline.detectors.calibrated import CalibratedDetector

from ..tables import made_table


@pytest.fixture(scope="module")
def calibrated() -> CalibratedDetector:
    """A detector fitted on 200 made-up images."""
    return fit(made_table(200), detector="heads-linear", target="recall=0.6").calibrated


def test_shares_are_counted_as_said(calibrated: CalibratedDetector) -> None:
    """Flagged shares, and the target's, are those of the probabilities and the threshold."""
    table = made_table(150, seed=5)
    found = HeldOut.of(calibrated, table, "recall")
    assert calibrated.threshold is not None
    flagged = probabilities_of(calibrated, table) >= calibrated.threshold
    wrong = table.labels == 1
    assert (found.images, found.mentions) == (150, len(table))
    assert found.hallucinated == wrong.sum()
    assert found.flagged.value == pytest.approx(flagged.mean())
    assert found.real_flagged.value == pytest.approx(flagged[~wrong].mean())
    assert found.hallucinated_flagged.value == pytest.approx(flagged[wrong].mean())
    each = [flagged[wrong & (table.images == image)] for image in range(150)]
    complete = [bool(one.all()) for one in each if len(one)]
    assert found.counted == len(complete)
    assert found.kept == pytest.approx(np.mean(complete))


def test_a_blind_detector_is_worth_nothing_within_an_index() -> None:
    """Where evidence is blind, first mentions compared at one place are a coin toss."""
    table = made_table(1500, signal=0.0)
    done = fit(table, detector="heads-linear", target="recall=0.5")
    assert done.held_out.within.low < 0.5 < done.held_out.within.high


def test_what_cannot_be_judged_is_counted_and_not_flagged(calibrated: CalibratedDetector) -> None:
    """Evidence that is not finite gives no probability, no flag, and a count."""
    table = made_table(100, seed=5)
    masses = table.mentions.masses.copy()
    masses[:10] = np.nan
    broken = replace(table, mentions=replace(table.mentions, masses=masses))
    found = HeldOut.of(calibrated, broken, "false-alarm")
    assert found.unjudged == 10
    assert np.isfinite(found.auroc.value)
    assert found.flagged.value <= HeldOut.of(calibrated, table, "false-alarm").flagged.value


def test_without_a_threshold_nothing_is_flagged(calibrated: CalibratedDetector) -> None:
    """The ranking figures stand, the shares are 0."""
    blank = replace(calibrated, threshold=None, guarantee=None)
    found = HeldOut.of(blank, made_table(100, seed=5), "recall")
    assert (found.flagged.value, found.kept) == (0.0, 0.0)
    assert found.auroc.value > 0.5


def test_no_mentions_no_figures(calibrated: CalibratedDetector) -> None:
    """A table whose captions name nothing has figures that are not defined."""
    table = made_table(100, seed=5)
    empty = np.setdiff1d(np.arange(100), table.images)
    assert len(empty)
    found = HeldOut.of(calibrated, table.of_images(empty), "recall")
    assert (found.mentions, found.counted) == (0, 0)
    assert np.isnan([found.auroc.value, found.flagged.value, found.kept]).all()
