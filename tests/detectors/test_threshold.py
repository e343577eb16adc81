"""The SVAR threshold: its scale, its polarity, its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sightline.detectors.evidence import Evidence
from sightline.detectors.svar import LayerRange
from sightline.detectors.threshold import FILE, SvarThreshold

LAYERS = LayerRange(1, 3, "user")


def _evidence(var: float) -> Evidence:
    masses = np.zeros((3, 2, 4), np.float32)
    masses[..., 0] = var
    return Evidence((1, 2, 3), masses, -0.1, 0.2, 0.3)


def test_little_attention_is_flagged() -> None:
    """A mention whose SVAR reaches the minimum is not hallucinated, one below it is."""
    low, edge, high = SvarThreshold(0.9, LAYERS).judge([_evidence(v) for v in (0.1, 0.3, 0.5)])
    assert low.score is not None
    assert high.score is not None
    assert low.score > high.score
    assert low.score == pytest.approx(1 - 0.3 / 3)
    assert (low.flagged, high.flagged) == (True, False)
    assert edge.threshold == pytest.approx(1 - 0.9 / 3)


def test_unscorable_evidence_gets_no_verdict() -> None:
    """Non-finite attention is neither scored nor flagged."""
    (verdict,) = SvarThreshold(0.9, LAYERS).judge([_evidence(float("nan"))])
    assert verdict.score is None
    assert not verdict.flagged


@pytest.mark.parametrize("minimum", [-0.1, 3.1, float("nan"), float("inf")])
def test_thresholds_out_of_reach_are_refused(minimum: float) -> None:
    """SVAR over three layers lies between 0 and 3."""
    with pytest.raises(ValueError, match="between 0 and 3"):
        SvarThreshold(minimum, LAYERS)


def test_saved_thresholds_come_back(tmp_path: Path) -> None:
    """What was saved is what is loaded; the layers are then the calibration's."""
    SvarThreshold(0.9, LAYERS, name="mine").save(tmp_path)
    found = SvarThreshold.load(tmp_path)
    assert found == SvarThreshold(0.9, LayerRange(1, 3, "calibration"), name="mine")
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
