"""What is usual: how much of their attention real and hallucinated mentions pay to the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .evidence import IMAGE
from .mentions import Mentions

SHARE: Final = 0.8
"""Of the mentions, those between ``low`` and ``high``."""

_LEAST: Final = 10  # mentions of a kind: of fewer, the outer tenth is nothing


@dataclass(frozen=True, slots=True)
class Band:
    """Where most of some mentions lie, by layer.

    Attributes:
        low: below it lies half of those that are left out.
        median: half of all lie below.
        high: above it lies the other half of those that are left out.
    """

    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        ordered = all(
            0 <= low <= middle <= high <= 1
            for low, middle, high in zip(self.low, self.median, self.high, strict=True)
        )
        if not ordered:
            raise ValueError(
                f"A band must have 0 <= low <= median <= high <= 1 in each layer, was: {self}."
            )


@dataclass(frozen=True, slots=True)
class Bands:
    """VAR of a calibration's mentions, mean over heads, by layer and kind of mention.

    A description for readers of a mention's profile: verdicts do not rest on it.

    Attributes:
        layers: decoder layers, counted from 0, ascending.
        share: of the mentions, those within a band.
        real: of objects that are in the image.
        hallucinated: of those that are not.
    """

    layers: tuple[int, ...]
    share: float
    real: Band
    hallucinated: Band

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"A share must lie between 0 and 1, was: {self.share}.")
        if list(self.layers) != sorted(set(self.layers)) or min(self.layers, default=-1) < 0:
            raise ValueError(f"Layers must be numbers from 0 on, ascending, were: {self.layers}.")
        for band in (self.real, self.hallucinated):
            if len(band.low) != len(self.layers):
                raise ValueError(
                    f"A band must have a number for each of the {len(self.layers)} layers, has: "
                    f"{len(band.low)}."
                )

    @classmethod
    def of(cls, mentions: Mentions, labels: npt.NDArray[np.int64]) -> Bands | None:
        """The bands of labelled mentions; ``None`` where there are too few of a kind.

        Args:
            mentions: all layers watched that are to be in it.
            labels: int64 ``[mentions]``, 1 for hallucinated ones.
        """
        var = mentions.masses[..., IMAGE].astype(np.float64).mean(axis=2)
        known = np.isfinite(var).all(axis=1)
        kinds = [var[known & (labels == label)] for label in (0, 1)]
        if min(map(len, kinds)) < _LEAST:
            return None
        real, hallucinated = map(_band, kinds)
        return cls(mentions.layers, SHARE, real, hallucinated)


def _band(var: npt.NDArray[np.float64]) -> Band:
    """Of VAR ``[mentions, layers]``."""
    shares = [(1 - SHARE) / 2, 0.5, (1 + SHARE) / 2]
    low, median, high = np.quantile(var, shares, axis=0).clip(0, 1).round(6).tolist()
    return Band(tuple(low), tuple(median), tuple(high))
