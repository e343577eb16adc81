"""The calibration that ships with the small model: its own, and worth what it says."""

from __future__ import annotations

import pytest
from sightline.calibration.scenes.observed import truth_of
from sightline.calibration.scenes.render import Picture, render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.world import sample_scene
from sightline.detectors.calibrated import CalibratedDetector
from sightline.monitor.report import CalibrationSection, Report
from sightline.monitor.session import Monitor

COUNT = 100


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """Development scenes, which it was not fitted on."""
    return [render(sample_scene(seed)) for seed in seeds("development", COUNT)]


@pytest.fixture(scope="module")
def reports(pictures: list[Picture]) -> tuple[Report, ...]:
    """Their captions, watched as the demo watches."""
    monitor = Monitor.from_pretrained("small")
    inputs = monitor.prepare([picture.image for picture in pictures])
    return tuple(monitor.generate(**inputs, max_new_tokens=512).reports)


def test_it_is_calibrated_with_a_promise() -> None:
    """A fused detector of this very checkpoint, by revision, with a guarantee and no limits."""
    monitor = Monitor.from_pretrained("small")
    assert isinstance(monitor.calibration, CalibratedDetector)
    assert monitor.calibration.guarantee is not None
    assert monitor.calibration.guarantee.target == "recall"
    assert monitor.calibration.threshold is not None


def test_its_flags_are_mostly_right(pictures: list[Picture], reports: tuple[Report, ...]) -> None:
    """It flags most of what is not there and little of what is."""
    flagged = {True: [0, 0], False: [0, 0]}
    for picture, report in zip(pictures, reports, strict=True):
        for mention in report.mentions:
            if mention.object is not None:
                made_up = mention.object not in truth_of(picture)
                flagged[made_up][0] += mention.flagged
                flagged[made_up][1] += 1
    assert flagged[True][1] >= 20
    assert flagged[True][0] / flagged[True][1] > 0.65
    assert flagged[False][0] / flagged[False][1] < 0.12


def test_reports_quote_it(reports: tuple[Report, ...]) -> None:
    """Every report says what was promised; asked as it was calibrated, nothing limits it."""
    for report in reports:
        assert isinstance(report.calibration, CalibrationSection)
        assert report.calibration.kind == "calibrated"
        assert "80%" in str(report.calibration.guarantee)
        assert report.calibration.limits == ()
