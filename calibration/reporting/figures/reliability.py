"""Whether a probability of 30% comes true 30% of the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import numpy.typing as npt

from ...collecting.table import CalibrationTable
from ...fitting.probability import calibration_error
from ...fitting.scores import Scores
from ...ranking import divide
from ...statistics import Estimate, means_by_image
from .figure import Figure, Missing
from .style import FAINT, INK, MADE_UP, REAL, hatched

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Floats = npt.NDArray[np.float64]

_BINS: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Reliability(Figure):
    """Predicted probability against what happened, in bins of as many mentions each.

    Attributes:
        detector: whose probabilities.
        edges: float64 ``[bins + 1]``, equal steps of probability.
        counts: int64 ``[2, bins]``, real and hallucinated mentions in each.
        predicted: float64 ``[bins]``, mean probability in each; NaN where there is no mention.
        observed: float64 ``[3, bins]``, share hallucinated, and its 95% interval by image.
        error: expected calibration error, over finer bins of equal count
            (:func:`~sightline.calibration.fitting.probability.calibration_error`).
    """

    name: ClassVar[str] = "reliability"
    title: ClassVar[str] = "Whether the probabilities come true"
    size: ClassVar[tuple[float, float]] = (6.0, 5.4)

    detector: str
    edges: Floats
    counts: npt.NDArray[np.int64]
    predicted: Floats
    observed: Floats
    error: Estimate

    @classmethod
    def of(
        cls, table: CalibrationTable, found: Scores, *, draws: int = 400
    ) -> Reliability | Missing:
        """The bins of the calibration error; probabilities must not have been fitted on these."""
        known = np.isfinite(found.probabilities) if found.probabilities is not None else None
        if found.probabilities is None or known is None or not known.any():
            return Missing.instead_of(
                cls,
                f"The scores of {found.detector} were not made into probabilities. Choose another "
                f"detector, or collect more images.",
            )
        probabilities, labels = found.probabilities[known], table.labels[known]
        images = table.images[known]
        edges = np.linspace(0, 1, _BINS + 1)
        bins = np.minimum((probabilities * _BINS).astype(np.int64), _BINS - 1)
        inside = bins[:, None] == np.arange(_BINS)
        wide = np.broadcast_to(labels[:, None], inside.shape).astype(np.float64)
        return cls(
            found.detector,
            edges,
            np.stack([inside[labels == label].sum(axis=0) for label in (0, 1)]),
            divide((inside * probabilities[:, None]).sum(axis=0), inside.sum(axis=0)),
            means_by_image(wide, inside, images, draws=draws),
            calibration_error(labels, probabilities, images, draws=draws),
        )

    @property
    def caption(self) -> str:
        return (
            f"Of the mentions to which {self.detector} gives a probability (across), the share "
            f"that is hallucinated (up); on the diagonal, probabilities come true. Expected "
            f"calibration error {self.error.value:.3f}. Below: how many of the "
            f"{int(self.counts.sum()):,} mentions have which probability (logarithmic)."
        )

    @property
    def alt(self) -> str:
        points = ", ".join(
            f"{p:.2f} came true {o:.2f}"
            for p, o in zip(self.predicted, self.observed[0], strict=True)
            if np.isfinite(p)
        )
        return f"Reliability diagram of {self.detector}: predicted {points}."

    def draw(self, canvas: Canvas) -> None:
        """Points with intervals over a histogram by label."""
        above, below = canvas.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot((0, 1), (0, 1), color=FAINT, linewidth=1, linestyle=":")
        middle, low, high = self.observed
        above.errorbar(
            self.predicted,
            middle,
            yerr=np.abs(np.stack([middle - low, high - middle])),
            color=INK,
            marker="o",
            markersize=5,
            linewidth=1.4,
            elinewidth=1.2,
            capsize=2.5,
        )
        above.annotate(
            f"ECE {self.error.value:.3f}",
            (0.03, 0.93),
            xycoords="axes fraction",
            fontweight="bold",
        )
        above.set(ylabel="share hallucinated", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        for counts, colour, label, hatch in zip(
            self.counts, (REAL, MADE_UP), ("real", "hallucinated"), ("", "////"), strict=True
        ):
            hatched(below, counts, self.edges, color=colour, label=label, hatch=hatch)
        below.set_yscale("log")
        below.yaxis.set_major_formatter("{x:,.0f}")
        below.set_ylim(bottom=0.8, top=8 * float(self.counts.max()))
        below.set(xlabel="predicted probability", ylabel="mentions")
        below.legend(ncols=2, loc="upper right")
