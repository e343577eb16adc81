"""How unsure the model was of the token: its entropy, log-probability and margin."""

from __future__ import annotations

from typing import Any

import numpy as np

from .estimators import DirectionClassifier, Floats, Ints


class UncertaintyClassifier(DirectionClassifier):
    """One column is the score, as it is or turned around.

    Args:
        rising: whether a high value means hallucinated (entropy), or a low one (log-probability,
            margin, internal confidence).
        column: which column of ``X``.
    """

    def __init__(self, rising: bool = True, column: int = 0) -> None:
        self.rising = rising
        self.column = column

    def _fit(self, X: Any, labels: Ints, *, groups: Ints, strata: Ints) -> None:  # noqa: N803
        if not 0 <= self.column < X.shape[1]:
            raise ValueError(
                f"column must be between 0 and {X.shape[1] - 1} (inclusive), was: {self.column}."
            )
        self._set_cut(self.scores(X), labels)

    def scores(self, X: Any) -> Floats:  # noqa: N803
        """The column, float64 ``[n]``, turned so that high means hallucinated."""
        values: Floats = X[:, self.column].astype(np.float64)
        return values if self.rising else -values
