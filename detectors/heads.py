"""Classifiers on the attention of every layer and head: linear, and the paper's small network."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .estimators import Floats, Ints, LogOddsClassifier
from .logistic import fit_logistic_by_group


class LinearHeadsClassifier(LogOddsClassifier):
    """Ridge logistic regression on standardised columns; score is the log-odds.

    The penalty is chosen by cross-validation with images held out whole.

    Attributes:
        mean_: float64 ``[columns]``.
        scale_: float64 ``[columns]``, standard deviations; 1 where a column is constant.
        coef_: float64 ``[columns]``, of standardised columns.
        intercept_: in nats.
        penalty_: the ridge penalty chosen.
    """

    fitted: ClassVar[tuple[str, ...]] = ("mean_", "scale_", "coef_", "intercept_", "penalty_")

    def _fit(self, X: Any, labels: Ints, *, groups: Ints, strata: Ints) -> None:  # noqa: N803
        self.mean_, self.scale_ = standard(X)
        standardised = standardise(X, self.mean_, self.scale_)
        found = fit_logistic_by_group(standardised, labels, groups=groups)
        self.coef_, self.intercept_ = found.weights, found.intercept
        self.penalty_ = found.penalty

    def scores(self, X: Any) -> Floats:  # noqa: N803
        """Log-odds, float64 ``[n]``."""
        odds: Floats = standardise(X, self.mean_, self.scale_) @ self.coef_ + self.intercept_
        return odds


def standard(X: Any) -> tuple[Floats, Floats]:  # noqa: N803
    """Mean and standard deviation of every column, float64; 1 for the spread of a constant."""
    mean, scale = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    # What is left of a constant after rounding is no spread.
    scale[scale <= 1e-7 * np.maximum(1, np.abs(mean))] = 1
    return mean, scale


def standardise(X: Any, mean: Floats, scale: Floats) -> Any:  # noqa: N803
    """``(X - mean) / scale`` in the dtype of ``X``: a table of 4,096 columns is large enough."""
    return (X - mean.astype(X.dtype)) / scale.astype(X.dtype)
