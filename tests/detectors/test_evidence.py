"""Evidence: what one token looked like."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sightline.detectors.evidence import IMAGE, SEGMENTS, Evidence


@pytest.fixture
def evidence() -> Evidence:
    """Two layers of three heads, with a mass of its own in every place."""
    masses = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return Evidence((4, 5), masses, log_prob=-0.5, entropy=1.0, margin=0.25)


def test_var_is_the_image_column(evidence: Evidence) -> None:
    """VAR is the mass on the image, per layer and head."""
    assert SEGMENTS[IMAGE] == "image"
    assert evidence.var.tolist() == [[0, 4, 8], [12, 16, 20]]


def test_it_cannot_be_changed(evidence: Evidence) -> None:
    """Evidence is a value."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        evidence.log_prob = 0.0  # type: ignore[misc]
