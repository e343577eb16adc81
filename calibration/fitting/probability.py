"""From scores to probabilities, on mentions that the detector has not seen."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

from ...detectors.probability import ProbabilityMap
from ..statistics import Estimate, by_image

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS: Final = 15
"""Bins of the calibration error, each with as many mentions as the others."""

_FOLDS: Final = 5
_LEAST_GAP: Final = 1e-6


def fit_probability(scores: Floats, labels: Ints, images: Ints) -> ProbabilityMap:
    """The map under which unseen images are most likely: a sigmoid, or a bent one.

    Both are fitted on four fifths of the images and judged by log loss on the fifth that is left,
    in turn; the better one is then fitted on all.

    Args:
        scores: float64 ``[n]``; NaN, of mentions that could not be judged, are left out.
        labels: int64 ``[n]``, 1 where hallucinated.
        images: int64 ``[n]``, the image of each mention.

    Raises:
        ValueError: only one label, or all scores are the same.

    Source: Platt 1999 (sigmoid); Zadrozny and Elkan 2002 (isotonic), with each step drawn to its
    centre and joined by lines as Oron and Flournoy 2017 do, which makes it strictly increasing.
    """
    known = np.isfinite(scores)
    scores, labels, images = scores[known], labels[known], images[known]
    if len(np.unique(labels)) < 2 or len(np.unique(scores)) < 2:
        raise ValueError(
            f"Probabilities need real and hallucinated mentions with different scores, were: "
            f"{int((labels == 0).sum())} real, {int((labels == 1).sum())} hallucinated, "
            f"{len(np.unique(scores))} different scores. Collect more images."
        )
    makers = (sigmoid, bent)
    losses = np.zeros(len(makers))
    folds = min(_FOLDS, len(np.unique(images)))
    splits = GroupKFold(folds).split(scores, groups=images) if folds > 1 else ()
    for learn, judge in splits:
        if len(np.unique(labels[learn])) < 2 or len(np.unique(scores[learn])) < 2:
            continue
        for i, make in enumerate(makers):
            found = make(scores[learn], labels[learn])(scores[judge])
            losses[i] += len(judge) * float(log_loss(labels[judge], found, labels=[0, 1]))
    return makers[int(losses.argmin())](scores, labels)


def sigmoid(scores: Floats, labels: Ints) -> ProbabilityMap:
    """Platt's sigmoid: log-odds linear in the score, by maximum likelihood, never falling."""
    centre, spread = float(scores.mean()), float(scores.std())
    model = LogisticRegression(C=1e4, max_iter=1000)
    model.fit(((scores - centre) / spread)[:, None], labels)
    slope, level = float(np.asarray(model.coef_)[0, 0]), float(np.asarray(model.intercept_)[0])
    if slope < _LEAST_GAP:
        # The best that does not fall is flat, and a flat one is right at the share itself: the
        # level of a falling line may be anywhere.
        slope, share = _LEAST_GAP, float(labels.mean())
        level = float(np.log(share / (1 - share)))
    return ProbabilityMap(
        scores=np.array([centre, centre + spread]), log_odds=level + np.array([0.0, slope])
    )


def bent(scores: Floats, labels: Ints) -> ProbabilityMap:
    """Isotonic steps, joined at their centres; the sigmoid where there are too few of them."""
    order = np.argsort(scores, kind="stable")
    x, y = scores[order], labels[order].astype(np.float64)
    steps: Floats = IsotonicRegression(y_min=0.0, y_max=1.0).fit(x, y).predict(x)
    edges = np.flatnonzero(np.r_[True, np.diff(steps) > 0, True])
    sizes = np.diff(edges)
    centres = np.add.reduceat(x, edges[:-1]) / sizes
    # Half a mention of the other kind: a step without any is rare, not impossible.
    shares = np.clip(steps[edges[:-1]], 0.5 / sizes, 1 - 0.5 / sizes)
    log_odds = np.log(shares / (1 - shares))
    kept = [0]
    for i in range(1, len(centres)):
        rises = log_odds[i] - log_odds[kept[-1]] > _LEAST_GAP
        if rises and centres[i] - centres[kept[-1]] > _LEAST_GAP * (x[-1] - x[0]):
            kept.append(i)
    if len(kept) < 2:
        return sigmoid(scores, labels)
    return ProbabilityMap(scores=centres[kept], log_odds=log_odds[kept])


def calibration_error(
    labels: Ints, probabilities: Floats, images: Ints, *, draws: int = 400, seed: int = 0
) -> Estimate:
    """Expected calibration error of mentions: how far probabilities are from what happens.

    Mentions are sorted by probability into :data:`BINS` bins of equal count; the error is the mean
    over mentions of the distance, in their bin, between the mean probability and the share that is
    hallucinated. Intervals redraw images. Noise only adds to it: a perfect map of ``n`` mentions
    scores about ``sqrt(BINS * p(1-p) * 2 / (pi * n))``, not 0.

    Args:
        labels: int64 ``[n]``, 1 where hallucinated.
        probabilities: float64 ``[n]``; NaN are left out.
        images: int64 ``[n]``, the image of each mention.
        draws: redraws of the interval.
        seed: of the redraws.

    Source: Naeini et al. 2015; bins of equal count as Nixon et al. 2019.
    """
    known = np.isfinite(probabilities)
    labels, probabilities, images = labels[known], probabilities[known], images[known]
    if not len(labels):
        return Estimate(float("nan"), float("nan"), float("nan"))
    rank = np.argsort(np.argsort(probabilities, kind="stable"), kind="stable")
    bins = rank * BINS // len(labels)
    gap = probabilities - labels

    def error(weights: Floats) -> float:
        sums = np.bincount(bins, weights=weights * gap, minlength=BINS)
        return float(np.abs(sums).sum() / weights.sum())

    return by_image(error, images, draws=draws, seed=seed)
