"""Where the attention of tellings made by hand points."""

from __future__ import annotations

import pytest
from sightline.calibration.scenes.observed import Observed
from sightline.calibration.scenes.pointing import pointing


def test_pointing_finds_the_object(observed: Observed) -> None:
    """The bus and one dog are pointed at; the other dog's attention lies elsewhere."""
    own = pointing(observed, (0, 2), hallucinated=False, naming=False, own=True)
    assert own.hits.value == pytest.approx(2 / 3)
    assert own.chance.value == pytest.approx(4 / 64, abs=0.02)
    other = pointing(observed, (0, 2), hallucinated=True, naming=False, own=False)
    assert other.hits.value == pytest.approx(1 / 2)
