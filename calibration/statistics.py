"""Figures with intervals. The image is the unit: its mentions stand or fall together.

Everywhere, label 1 and a high score mean *hallucinated*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% bootstrap interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def excludes(self, value: float) -> bool:
        """Whether the interval lies wholly on one side of ``value``."""
        return not self.low <= value <= self.high


def redraws(images: int, *, draws: int = 1000, seed: int = 0) -> Ints:
    """How often each image is drawn in each bootstrap sample, int64 ``[draws, images]``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(images, np.full(images, 1 / images), size=draws)


def ratio(
    over: npt.ArrayLike, under: npt.ArrayLike, *, draws: int = 1000, seed: int = 0
) -> Estimate:
    """Sum of ``over`` divided by the sum of ``under``, both one number an image."""
    top, bottom = np.asarray(over, float), np.asarray(under, float)
    counts = redraws(len(top), draws=draws, seed=seed)
    return _estimate(_divide(top.sum(), bottom.sum()), _divide(counts @ top, counts @ bottom))


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
    a, b, c, d = (np.asarray(x, float) for x in (over, under, base_over, base_under))
    counts = redraws(len(a), draws=draws, seed=seed)
    change = _divide(_divide(a.sum(), b.sum()), _divide(c.sum(), d.sum())) - 1
    drawn = _divide(_divide(counts @ a, counts @ b), _divide(counts @ c, counts @ d)) - 1
    return _estimate(change, drawn)


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
    a, b, c, d = (np.asarray(x, float) for x in (over, under, base_over, base_under))
    counts = redraws(len(a), draws=draws, seed=seed)
    return _estimate(
        _divide(a.sum(), b.sum()) - _divide(c.sum(), d.sum()),
        _divide(counts @ a, counts @ b) - _divide(counts @ c, counts @ d),
    )


def auroc(labels: Ints, scores: Floats, weights: Floats | None = None) -> float:
    """Area under the ROC curve; NaN if only one label occurs."""
    kept = slice(None) if weights is None else weights > 0
    if len(np.unique(labels[kept])) < 2:
        return float("nan")
    return float(roc_auc_score(labels, scores, sample_weight=weights))


def auroc_within(
    labels: Ints, scores: Floats, strata: Ints, weights: Floats | None = None
) -> float:
    """Chance that a hallucinated mention outscores a real one *of the same stratum*.

    The strata are usually mention indices: what position alone says is then worth .5. Each stratum
    counts by its number of such pairs; NaN if none has any.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    total = pairs = 0.0
    for stratum in np.unique(strata):
        inside = strata == stratum
        w, y = weights[inside], labels[inside]
        count = float(w[y == 1].sum() * w[y == 0].sum())
        if count > 0:
            total += count * auroc(y, scores[inside], w)
            pairs += count
    return total / pairs if pairs else float("nan")


def by_image(
    statistic: Callable[[Floats], float], images: Ints, *, draws: int = 400, seed: int = 0
) -> Estimate:
    """A statistic of weighted mentions, with the interval of redrawing whole images.

    Args:
        statistic: from one weight a mention to a figure.
        images: the image of each mention.
    """
    _, which = np.unique(images, return_inverse=True)
    counts = redraws(int(which.max()) + 1, draws=draws, seed=seed).astype(float)
    drawn = np.array([statistic(row[which]) for row in counts])
    return _estimate(statistic(np.ones(len(images))), drawn)


def _divide(over: npt.ArrayLike, under: npt.ArrayLike) -> Floats:
    top, bottom = np.asarray(over, float), np.asarray(under, float)
    undefined = np.full(np.broadcast(top, bottom).shape, np.nan)
    share: Floats = np.divide(top, bottom, out=undefined, where=bottom != 0)
    return share


def _estimate(value: npt.ArrayLike, drawn: Floats) -> Estimate:
    finite = drawn[np.isfinite(drawn)]
    low, high = np.quantile(finite, (0.025, 0.975)) if len(finite) else (np.nan, np.nan)
    return Estimate(float(np.asarray(value)), float(low), float(high))
