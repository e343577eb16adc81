"""Figures with intervals. The image is the unit: its mentions stand or fall together.

Everywhere, label 1 and a high score mean *hallucinated*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .ranking import Ranking, divide

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_NUMBERS: Final = 2_000_000  # of a bootstrap that are in memory together
_AT_ONCE: Final = 25  # draws whose weights are in memory together


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% bootstrap interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def redraws(images: int, *, draws: int = 1000, seed: int = 0) -> Ints:
    """How often each image is drawn in each bootstrap sample, int64 ``[draws, images]``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(images, np.full(images, 1 / images), size=draws)


def ratio(
    over: npt.ArrayLike, under: npt.ArrayLike, *, draws: int = 1000, seed: int = 0
) -> Estimate:
    """Sum of ``over`` divided by the sum of ``under``, both one number an image."""
    top, bottom = np.asarray(over, float), np.asarray(under, float)
    rng, even = np.random.default_rng(seed), np.full(len(top), 1 / len(top))
    drawn: list[Floats] = []
    at_once = max(1, _NUMBERS // len(top))
    for start in range(0, draws, at_once):  # as redraws() would, and not all in memory
        counts = rng.multinomial(len(top), even, size=min(at_once, draws - start))
        drawn.append(divide(counts @ top, counts @ bottom))
    return _estimate(divide(top.sum(), bottom.sum()), np.concatenate(drawn))


def relative_change(
    over: npt.ArrayLike,
    under: npt.ArrayLike,
    base_over: npt.ArrayLike,
    base_under: npt.ArrayLike,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Ratio of one treatment over that of the baseline on the same images, minus 1; paired."""
    sums = (over, under, base_over, base_under)
    return _paired(lambda ratio, base: divide(ratio, base) - 1, sums, draws=draws, seed=seed)


def difference(
    over: npt.ArrayLike,
    under: npt.ArrayLike,
    base_over: npt.ArrayLike,
    base_under: npt.ArrayLike,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Ratio of one treatment minus that of the baseline on the same images; paired."""
    sums = (over, under, base_over, base_under)
    return _paired(lambda ratio, base: ratio - base, sums, draws=draws, seed=seed)


def auroc(labels: Ints, scores: Floats, weights: Floats | None = None) -> float:
    """Area under the ROC curve; NaN if only one label occurs."""
    return auroc_within(labels, scores, np.zeros(len(labels), np.int64), weights)


def auroc_within(
    labels: Ints, scores: Floats, strata: Ints, weights: Floats | None = None
) -> float:
    """Chance that a hallucinated mention outscores a real one *of the same stratum*.

    The strata are usually mention indices: what position alone says is then worth .5. Each stratum
    counts by its number of such pairs; NaN if none has any.
    """
    if not len(labels):
        return float("nan")
    weights = np.ones(len(labels)) if weights is None else weights
    return float(Ranking.of(labels, scores, strata).auroc(weights[None])[0])


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A figure and what it came to in each bootstrap sample, kept so that figures can be paired.

    Two of the same images and seed are of the same samples.

    Attributes:
        value: the figure.
        drawn: float64 ``[draws]``.
    """

    value: float
    drawn: Floats

    def __sub__(self, other: Drawn) -> Drawn:
        return Drawn(self.value - other.value, self.drawn - other.drawn)

    @property
    def estimate(self) -> Estimate:
        """The figure with its interval."""
        return _estimate(self.value, self.drawn)


def drawn_by_image(
    statistic: Callable[[Floats], Floats], images: Ints, *, draws: int = 400, seed: int = 0
) -> Drawn:
    """A statistic of weighted mentions, and what redrawing whole images makes of it.

    Args:
        statistic: from weights ``[draws, mentions]`` to figures ``[draws]``.
        images: the image of each mention.
    """
    value = float(statistic(np.ones((1, len(images))))[0])
    return Drawn(value, np.concatenate([statistic(w) for w in redrawn(images, draws, seed)]))


def redrawn(images: Ints, draws: int, seed: int) -> Iterator[Floats]:
    """Weights of mentions whose images are redrawn, ``[some draws, mentions]`` at a time."""
    _, which = np.unique(images, return_inverse=True)
    counts = redraws(int(which.max()) + 1, draws=draws, seed=seed).astype(float)
    for start in range(0, draws, _AT_ONCE):
        yield counts[start : start + _AT_ONCE, which]


def by_image(
    statistic: Callable[[Floats], float], images: Ints, *, draws: int = 400, seed: int = 0
) -> Estimate:
    """A statistic of weighted mentions, with the interval of redrawing whole images.

    Args:
        statistic: from one weight a mention to a figure.
        images: the image of each mention.
    """
    return drawn_by_image(
        lambda weights: np.array([statistic(row) for row in weights]),
        images,
        draws=draws,
        seed=seed,
    ).estimate


def means_by_image(
    values: Floats, counted: npt.ArrayLike, images: Ints, *, draws: int = 400, seed: int = 0
) -> Floats:
    """Means of columns over some of their rows, with the intervals of redrawing whole images.

    Args:
        values: float64 ``[n, k]``, one row a mention.
        counted: bool, broadcast to ``[n, k]``: which rows count for which column.
        images: the image of each mention.

    Returns:
        float64 ``[3, k]``: means and the ends of their 95% intervals; NaN where nothing counts.
    """
    _, which = np.unique(images, return_inverse=True)
    chosen = np.broadcast_to(counted, values.shape)
    top, bottom = np.zeros((2, int(which.max()) + 1, values.shape[1]))
    np.add.at(top, which, np.where(chosen, values, 0.0))
    np.add.at(bottom, which, chosen.astype(float))
    counts = redraws(len(top), draws=draws, seed=seed)
    found = divide(top.sum(axis=0), bottom.sum(axis=0))
    drawn = divide(counts @ top, counts @ bottom)
    each = [_estimate(value, column) for value, column in zip(found, drawn.T, strict=True)]
    return np.array([[e.value for e in each], [e.low for e in each], [e.high for e in each]])


def _paired(
    compare: Callable[[Floats, Floats], Floats],
    sums: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    *,
    draws: int,
    seed: int,
) -> Estimate:
    """Two ratios of sums over the same images, compared as they are and in each sample."""
    each = [np.asarray(numbers, float) for numbers in sums]
    counts = redraws(len(each[0]), draws=draws, seed=seed)
    counts = np.vstack([np.ones_like(counts[:1]), counts])
    a, b, c, d = (counts @ numbers for numbers in each)
    found = compare(divide(a, b), divide(c, d))
    return _estimate(found[0], found[1:])


def _estimate(value: npt.ArrayLike, drawn: Floats) -> Estimate:
    finite = drawn[np.isfinite(drawn)]
    low, high = np.quantile(finite, (0.025, 0.975)) if len(finite) else (np.nan, np.nan)
    return Estimate(float(np.asarray(value)), float(low), float(high))
