"""What is usual of real and hallucinated mentions: quantiles by layer, and nothing of too few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sightline.detectors.bands import Band, Bands
from sightline.detectors.evidence import IMAGE

from .synthetic import labels, mentions


def test_bands_are_quantiles_of_var() -> None:
    """Of each kind a tenth lies below and a tenth above, half below the median; NaN is left out."""
    columns, kinds = mentions(400), labels(400)
    masses = columns.masses.copy()
    masses[3] = np.nan
    bands = Bands.of(replace(columns, masses=masses), kinds)
    assert bands is not None
    assert bands.layers == columns.layers
    assert bands.share == 0.8
    known = np.arange(400) != 3
    for kind, band in ((0, bands.real), (1, bands.hallucinated)):
        var = columns.masses[known & (kinds == kind)][..., IMAGE].mean(axis=2)
        for layer in range(len(columns.layers)):
            below = [
                (var[:, layer] < edge[layer]).mean() for edge in (band.low, band.median, band.high)
            ]
            assert below == pytest.approx([0.1, 0.5, 0.9], abs=0.01)


def test_too_few_have_no_bands() -> None:
    """With nine of a kind there is no tenth to leave out."""
    columns, kinds = mentions(400), np.zeros(400, dtype=np.int64)
    kinds[:9] = 1
    assert Bands.of(columns, kinds) is None
    kinds[9] = 1
    assert Bands.of(columns, kinds) is not None


def test_what_is_no_band_is_refused() -> None:
    """Edges in the wrong order or beyond 0..1, layers that descend, a layer too many."""
    band = Band((0.1,), (0.2,), (0.3,))
    for low, median, high in ((0.3, 0.2, 0.4), (0.1, 0.5, 0.4), (-0.1, 0.2, 0.3), (0.1, 0.2, 1.3)):
        with pytest.raises(ValueError, match="low <= median <= high"):
            Band((low,), (median,), (high,))
    with pytest.raises(ValueError, match="ascending"):
        Bands((2, 1), 0.8, band, band)
    with pytest.raises(ValueError, match="each of the 2 layers"):
        Bands((1, 2), 0.8, band, band)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Bands((1,), 1.0, band, band)
