"""A calibrated detector: probabilities, a threshold on them, and what it refuses to claim."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sightline.detectors.calibrated import NO_THRESHOLD
from sightline.detectors.named import DETECTORS
from sightline.detectors.svar import LayerRange
from sightline.detectors.verdict import Calibration

from .calibrations import CONDITIONS, calibrated, fitted, one_by_one
from .synthetic import mentions


@pytest.mark.parametrize("name", DETECTORS)
def test_one_at_a_time_and_all_at_once_agree(name: str) -> None:
    """What is judged online is what was calibrated in columns."""
    calibration, columns = calibrated(name), mentions(12, seed=5)
    expected = calibration.map(calibration.scorer.score(columns))
    together = calibration.judge(one_by_one(columns))
    alone = [calibration.judge([mention])[0] for mention in one_by_one(columns)]
    for probability, one, other in zip(expected, together, alone, strict=True):
        assert one.probability == pytest.approx(probability, abs=1e-6)
        assert other.probability == pytest.approx(probability, abs=1e-6)
        assert one.score == one.probability
        assert one.flagged is bool(probability >= 0.4)


def test_a_factorised_detector_tells_its_parts() -> None:
    """What the text says and what the inside adds sum up to the score; others have no parts."""
    columns = mentions(8, seed=4)
    masses = columns.masses.copy()
    masses[2] = np.nan
    calibration, some = calibrated("fused"), replace(columns, masses=masses)
    scores = calibration.scorer.score(some)
    judged = calibration.judge(one_by_one(some))
    for score, one in zip(scores, judged, strict=True):
        if np.isnan(score):
            assert (one.prior, one.evidence) == (None, None)
        else:
            assert one.prior is not None
            assert one.evidence is not None
            assert one.prior + one.evidence == pytest.approx(score)
    assert [np.isnan(score) for score in scores].count(True) == 1
    assert all(j.prior is None and j.evidence is None for j in calibrated().judge(one_by_one(some)))


def test_a_naming_row_that_never_came_is_no_obstacle() -> None:
    """Where the caption was cut, the detector judges with what is known."""
    calibration, columns = calibrated("fused-naming"), mentions(4, seed=6)
    assert calibration.timing == "naming"
    cut = [replace(mention, naming=None) for mention in one_by_one(columns)]
    for one, other in zip(
        calibration.judge(cut), calibration.judge(one_by_one(columns)), strict=True
    ):
        assert one.probability is not None
        assert one.probability != other.probability


def test_a_threshold_on_the_probability_flags_from_itself_on() -> None:
    """At the threshold flagged, above it flagged, below it not."""
    mention = one_by_one(mentions(1, seed=9))
    (judged,) = calibrated().judge(mention)
    assert judged.probability is not None
    for threshold, flagged in (
        (judged.probability, True),
        (np.nextafter(judged.probability, 0), True),
        (np.nextafter(judged.probability, 1), False),
    ):
        (again,) = calibrated(threshold=float(threshold)).judge(mention)
        assert again.flagged is flagged


def test_without_a_threshold_nothing_is_flagged() -> None:
    """No valid threshold is a normal outcome: probabilities stay, flags do not come."""
    calibration = calibrated(threshold=None, guarantee=None)
    judged = calibration.judge(one_by_one(mentions(20)))
    assert not any(j.flagged for j in judged)
    assert all(j.probability is not None and j.threshold is None for j in judged)
    assert calibration.limits == (NO_THRESHOLD, "Mind the gap.")


def test_evidence_that_is_not_finite_gets_no_score() -> None:
    """A mention whose attention overflowed is not judged, and its neighbours are."""
    columns = mentions(3)
    masses = columns.masses.copy()
    masses[1] = np.nan
    first, broken, last = calibrated().judge(one_by_one(replace(columns, masses=masses)))
    assert (broken.score, broken.probability, broken.flagged) == (None, None, False)
    assert first.score is not None
    assert last.score is not None


def test_it_sees_what_it_needs_among_more_layers() -> None:
    """Layers that the monitor watches for other reasons change nothing."""
    calibration = calibrated("svar")
    columns = mentions(6, layers=(0, 1, 2, 3, 4))
    some = columns.within((0, 1, 2))
    assert calibration.judge(one_by_one(columns)) == calibration.judge(one_by_one(some))


def test_it_is_a_calibration() -> None:
    """It offers what the monitor asks for, by structure alone."""
    calibration: Calibration = calibrated("svar")
    assert (calibration.name, calibration.detector) == ("svar on a model", "svar")
    assert (calibration.kind, calibration.scope) == ("calibrated", "objects")
    assert calibration.layers is not None
    assert calibration.layers.layers == calibration.watched
    assert calibrated("lens").lens
    assert calibrated("log-prob").watched == ()
    assert list(calibration.judge([])) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.5}, "between 0 and 1"),
        ({"threshold": float("nan")}, "between 0 and 1"),
        ({"threshold": None}, "A guarantee needs a threshold"),
        ({"scorer": replace(fitted("svar"), fitted=False)}, "must be fitted"),
        ({"layers": LayerRange(1, 3, "user")}, "within the model's 0-2, one is 3"),
        (
            {"conditions": replace(CONDITIONS, model=replace(CONDITIONS.model, num_heads=9))},
            "must be the model's 9",
        ),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    """What cannot hold together is not even made."""
    with pytest.raises(ValueError, match=message):
        calibrated(**changes)
