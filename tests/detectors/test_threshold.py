"""A threshold on SVAR: its polarity, its scale, its limits and its file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightline.detectors.evidence import IMAGE, Evidence
from sightline.detectors.mentions import MentionEvidence
from sightline.detectors.svar import LayerRange, svar
from sightline.detectors.threshold import FILE, SvarThreshold
from sightline.detectors.verdict import Calibration

LAYERS = LayerRange(2, 4, "calibration")


def looking(mass: float) -> MentionEvidence:
    """A mention that gave every layer's image tokens this much attention."""
    masses = np.zeros((6, 2, 4), dtype=np.float32)
    masses[..., IMAGE] = mass
    return MentionEvidence("dog", 0, 0, 0, Evidence(tuple(range(6)), masses, -1.0, 1.0, 0.5))


def test_too_little_attention_is_flagged() -> None:
    """High score means hallucinated: below the minimum flagged, above it not, at it flagged."""
    detector = SvarThreshold(1.5, LAYERS)
    low, at, high = detector.judge([looking(0.25), looking(0.5), looking(0.75)])
    assert [low.flagged, at.flagged, high.flagged] == [True, True, False]
    assert low.score == pytest.approx(0.75)
    assert high.score == pytest.approx(0.25)
    assert {j.threshold for j in (low, at, high)} == {detector.threshold} == {0.5}


@given(a=st.floats(0, 1, width=32), b=st.floats(0, 1, width=32))
def test_the_score_falls_with_svar_and_stays_in_0_to_1(a: float, b: float) -> None:
    """Monotone, and between 0 and 1 whatever the attention."""
    detector = SvarThreshold(1.0, LAYERS)
    first, second = (detector.judge([looking(mass)])[0].score for mass in (a, b))
    assert first is not None
    assert second is not None
    assert -1e-6 <= first <= 1 + 1e-6
    assert (a <= b) <= (first >= second)
    token = looking(a).predicting
    value = float(svar(token.var, token.layers, LAYERS))
    assert first == pytest.approx(1 - value / 3)


def test_evidence_that_is_not_finite_gets_no_score() -> None:
    """No attention, no verdict: never flagged by accident."""
    (judgement,) = SvarThreshold(1.5, LAYERS).judge([looking(math.nan)])
    assert (judgement.score, judgement.flagged) == (None, False)


@pytest.mark.parametrize("minimum", [-0.1, 3.1, math.nan, math.inf])
def test_a_minimum_that_nothing_reaches_is_refused(minimum: float) -> None:
    """SVAR lies between 0 and the number of layers summed."""
    with pytest.raises(ValueError, match="between 0 and 3"):
        SvarThreshold(minimum, LAYERS)


def test_it_is_a_calibration() -> None:
    """It offers what the monitor asks for, by structure alone."""
    detector: Calibration = SvarThreshold(1.0, LAYERS, name="mine")
    assert (detector.name, detector.layers, len(detector.judge([]))) == ("mine", LAYERS, 0)


def test_saved_thresholds_come_back(tmp_path: Path) -> None:
    """What was saved is what is loaded; the layers are then the calibration's."""
    SvarThreshold(0.9, LAYERS, name="mine").save(tmp_path)
    found = SvarThreshold.load(tmp_path)
    assert found == SvarThreshold(0.9, LAYERS, name="mine")
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_no_file_is_no_threshold(tmp_path: Path) -> None:
    """A checkpoint without a threshold has none, which is no error."""
    assert SvarThreshold.load(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        json.dumps({"format": "sightline-svar-threshold-9"}),
        json.dumps({"format": "sightline-svar-threshold-1", "layers": [1, 3], "name": "x"}),
        json.dumps(
            {"format": "sightline-svar-threshold-1", "layers": [1], "name": "x", "minimum": 1}
        ),
        json.dumps(
            {"format": "sightline-svar-threshold-1", "layers": [1, 3], "name": "x", "minimum": 9}
        ),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: str) -> None:
    """A file that is not a threshold is named, with the rule, never ignored."""
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ValueError, match=r"svar_threshold\.json must be a threshold of format"):
        SvarThreshold.load(tmp_path)
