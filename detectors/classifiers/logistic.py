"""Ridge logistic regression with an offset, its penalty chosen image by image.

scikit-learn's own has no offset, which is what a factorised detector is made with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize
from sklearn.model_selection import GroupKFold

from .estimators import Floats, Ints

PENALTIES: Final = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0)
"""Tried in this order, each from where the one before ended, until held-out images get worse."""

FOLDS: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """A fitted regression.

    Attributes:
        weights: float64 ``[columns]``.
        intercept: in nats, not penalised.
        penalty: lambda of ``sum of log-losses + lambda / 2 * |weights|^2``.
    """

    weights: Floats
    intercept: float
    penalty: float

    def log_odds(self, X: Any) -> Floats:  # noqa: N803
        """float64 ``[n]``, without the offset."""
        return np.asarray(X @ self.weights.astype(X.dtype), dtype=np.float64) + self.intercept


def fit_logistic(
    X: Any,  # noqa: N803
    labels: Ints,
    *,
    penalty: float,
    offset: Floats | None = None,
    start: Logistic | None = None,
) -> Logistic:
    """Minimise the penalised log-loss of ``offset + X @ weights + intercept`` by L-BFGS.

    Args:
        X: float ``[n, columns]``, standardised; its dtype is that of the big products.
        labels: ``[n]``, 1 for hallucinated.
        penalty: see :class:`Logistic`.
        offset: float64 ``[n]``, log-odds known already; 0 without it.
        start: where to begin.
    """
    rows, width = X.shape
    known = np.zeros(rows) if offset is None else offset
    begin = np.zeros(width + 1)
    if start is not None:
        begin[:width], begin[width] = start.weights, start.intercept

    def loss(point: Floats) -> tuple[float, Floats]:
        weights = point[:width]
        odds = known + X @ weights.astype(X.dtype) + point[width]
        excess = _sigmoid(odds) - labels
        value = log_loss(odds, labels).sum() + penalty / 2 * weights @ weights
        slope = np.append(excess.astype(X.dtype) @ X + penalty * weights, excess.sum())
        # Per mention, so that the stopping rule means the same for every table.
        return float(value) / rows, slope / rows

    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"gtol": 1e-5}).x
    return Logistic(found[:width], float(found[width]), penalty)


def fit_logistic_by_group(
    X: Any,  # noqa: N803
    labels: Ints,
    *,
    groups: Ints,
    offset: Floats | None = None,
    penalties: Sequence[float] = PENALTIES,
) -> Logistic:
    """The same, with the penalty that gives held-out groups the smallest log-loss.

    With fewer than two usable folds (both labels on both sides) the largest penalty is taken.

    Args:
        X: as in :func:`fit_logistic`, likewise ``labels`` and ``offset``.
        groups: ``[n]``, the image of each mention; an image is held out whole.
        penalties: from strong to weak.
    """
    known = np.zeros(len(labels)) if offset is None else offset
    folds = grouped_folds(labels, groups)
    losses: list[float] = []
    if len(folds) >= 2:
        starts: list[Logistic | None] = [None] * len(folds)
        for penalty in penalties:
            total = 0.0
            for number, (train, held) in enumerate(folds):
                found = fit_logistic(
                    X[train], labels[train], penalty=penalty, offset=known[train],
                    start=starts[number],
                )  # fmt: skip
                starts[number] = found
                odds = known[held] + found.log_odds(X[held])
                total += float(log_loss(odds, labels[held]).sum())
            if losses and total > losses[-1]:
                break
            losses.append(total)
    penalty = penalties[max(len(losses) - 1, 0)]
    return fit_logistic(X, labels, penalty=penalty, offset=known)


def grouped_folds(labels: Ints, groups: Ints) -> list[tuple[Ints, Ints]]:
    """At most :data:`FOLDS` splits into ``(train, held-out)`` rows, each group whole; only those
    with both labels on both sides."""
    count = min(FOLDS, len(np.unique(groups)))
    if count < 2:
        return []
    splits = GroupKFold(count).split(labels, labels, groups)
    return [
        (train, held)
        for train, held in splits
        if len(np.unique(labels[train])) == len(np.unique(labels[held])) == 2
    ]


def _sigmoid(odds: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -odds)))


def log_loss(odds: Floats, labels: Ints) -> Floats:
    """Of each mention, float64 ``[n]``, nats."""
    return np.asarray(np.logaddexp(0, odds) - labels * odds)
