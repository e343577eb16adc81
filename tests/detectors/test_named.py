"""The detectors by name."""

from __future__ import annotations

import pytest
from sightline.detectors.named import DETECTORS, detector
from sightline.detectors.svar import LayerRange

from .synthetic import images, labels, mentions

COUNT = 240


def test_a_given_range_is_kept() -> None:
    """SVAR over the layers somebody named, and no choice on the data."""
    chosen = LayerRange(1, 2, "user")
    found = detector("svar", layers=chosen).fit(mentions(COUNT), labels(COUNT), images(COUNT))
    assert found.layers == (1, 2)
    assert detector("heads-linear", layers=chosen).layers == (1, 2)


def test_only_the_lens_needs_the_lens() -> None:
    """The image's hidden states are kept when asked for, and for no other detector."""
    assert [name for name in DETECTORS if detector(name).needs_lens] == ["lens"]


def test_a_detector_nobody_knows_is_refused() -> None:
    """With the names there are."""
    with pytest.raises(ValueError, match=r"one of svar, .* was: 'oracle'"):
        detector("oracle")
