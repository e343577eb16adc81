"""What is usual of a calibration's mentions, as reports say it."""

from __future__ import annotations

from ...detectors.calibrated import CalibratedDetector
from ...detectors.verdict import Calibration
from ..report import Band, BandsSection


def bands_of(calibration: Calibration | None) -> BandsSection | None:
    """The bands of a calibration; ``None`` where there is none, or it has none."""
    known = calibration.bands if isinstance(calibration, CalibratedDetector) else None
    if known is None:
        return None
    real, hallucinated = (
        Band(low=band.low, median=band.median, high=band.high)
        for band in (known.real, known.hallucinated)
    )
    return BandsSection(
        layers=known.layers, share=known.share, real=real, hallucinated=hallucinated
    )
