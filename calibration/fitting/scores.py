"""What a fitted detector says of the mentions of a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...detectors.mentions import Timing
from ...detectors.svar import LayerRange

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of ``n`` mentions, high for hallucinated; NaN where a mention could not be judged.

    Attributes:
        detector: its name.
        timing: the latest row that it reads.
        scores: float64 ``[n]``.
        probabilities: float64 ``[n]``, that the mention is hallucinated; ``None`` if the scores
            were not made into probabilities.
        threshold: mentions of at least this probability are flagged; ``None`` if none was set.
        layers: the range that it sums over, if it chose one.
    """

    detector: str
    timing: Timing
    scores: Floats
    probabilities: Floats | None = None
    threshold: float | None = None
    layers: LayerRange | None = None

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Of each mention, whether it has a score."""
        return np.isfinite(self.scores)
