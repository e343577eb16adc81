"""From a detector's score to the probability that the mention is hallucinated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityMap:
    """A strictly increasing map, piecewise linear in the log-odds, straight beyond its ends.

    Two knots make Platt's sigmoid; more let the data bend it.

    Attributes:
        scores: float64 ``[k]``, strictly ascending, ``k`` at least 2.
        log_odds: float64 ``[k]``, strictly ascending.

    Raises:
        ValueError: if they are not finite, not as many, fewer than two or not strictly ascending.
    """

    scores: Floats
    log_odds: Floats

    def __post_init__(self) -> None:
        x, y = self.scores, self.log_odds
        sound = x.shape == y.shape and x.ndim == 1 and len(x) >= 2
        if not (
            sound
            and np.isfinite(x).all()
            and np.isfinite(y).all()
            and (np.diff(x) > 0).all()
            and (np.diff(y) > 0).all()
        ):
            raise ValueError(
                f"A probability map needs two or more finite, strictly ascending knots, were: "
                f"{x.tolist()} and {y.tolist()}."
            )

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities of some scores, both float64 ``[n]``; NaN stays NaN."""
        x, y = self.scores, self.log_odds
        piece = np.clip(np.searchsorted(x, scores, side="right") - 1, 0, len(x) - 2)
        slope = (y[piece + 1] - y[piece]) / (x[piece + 1] - x[piece])
        odds = y[piece] + slope * (scores - x[piece])
        return np.asarray(1 / (1 + np.exp(-np.clip(odds, -500, 500))))
