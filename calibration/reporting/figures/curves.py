"""What it costs to find more: ROC and precision against recall, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import numpy.typing as npt

from ...collecting.table import CalibrationTable
from ...fitting.scores import Scores
from ...ranking import Ranking
from ...statistics import Estimate, drawn_by_image, redrawn
from .figure import Figure
from .style import DASHES, FAINT, LINES, band

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Floats = npt.NDArray[np.float64]

FALSE_ALARMS: Final = np.r_[np.linspace(0, 0.1, 51), np.linspace(0.11, 1, 90)]
RECALLS: Final = np.linspace(0.02, 1, 50)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Both curves of one detector.

    Attributes:
        detector: its name.
        recall: float64 ``[3, 141]`` at :data:`FALSE_ALARMS`: as measured, and its 95% interval.
        precision: float64 ``[3, 50]`` at :data:`RECALLS`, likewise.
        auroc: area under the first.
        average_precision: area under the second.
    """

    detector: str
    recall: Floats
    precision: Floats
    auroc: Estimate
    average_precision: Estimate

    @classmethod
    def of(cls, table: CalibrationTable, found: Scores, *, draws: int) -> Curve:
        """Curves over the mentions that the detector judged; intervals redraw images."""
        judged = found.judged
        images = table.images[judged]
        ranking = Ranking.of(table.labels[judged], found.scores[judged])
        once = np.ones((1, len(images)))
        recalls, precisions = [], []
        for drawn in redrawn(images, draws, 0):
            # A draw of few images may hold one label alone: it has no curve.
            whole = drawn[np.isfinite(ranking.auroc(drawn))]
            if len(whole):
                recalls.append(ranking.roc(whole, FALSE_ALARMS))
                precisions.append(ranking.precision_at(whole, RECALLS))
        return cls(
            found.detector,
            _with_interval(ranking.roc(once, FALSE_ALARMS), recalls),
            _with_interval(ranking.precision_at(once, RECALLS), precisions),
            drawn_by_image(ranking.auroc, images, draws=draws).estimate,
            drawn_by_image(ranking.average_precision, images, draws=draws).estimate,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Curves(Figure):
    """ROC and precision-recall curves of some detectors, over all mentions.

    Attributes:
        share: share of the mentions that are hallucinated: the precision of flagging them all.
        curves: of each detector, the best first.
    """

    name: ClassVar[str] = "curves"
    title: ClassVar[str] = "What it costs to find more"
    size: ClassVar[tuple[float, float]] = (10.0, 4.9)

    share: float
    curves: tuple[Curve, ...]

    @classmethod
    def of(cls, table: CalibrationTable, found: Sequence[Scores], *, draws: int = 200) -> Curves:
        """Curves of some detectors on a table with both labels."""
        return cls(
            float(table.labels.mean()),
            tuple(
                sorted(
                    (Curve.of(table, scores, draws=draws) for scores in found),
                    key=lambda curve: -curve.auroc.value,
                )
            ),
        )

    @property
    def caption(self) -> str:
        best = max(self.curves, key=lambda curve: curve.average_precision.value)
        at = int(np.abs(FALSE_ALARMS - 0.05).argmin())
        return (
            f"Left: share of hallucinated mentions found against share of real ones flagged. "
            f"Right: how many flags are right against how many hallucinations are found; "
            f"{self.share:.0%} would be right if everything were flagged. Bands are 95% intervals "
            f"by image. At 5% of the real mentions flagged, {best.detector} finds "
            f"{best.recall[0, at]:.0%}."
        )

    @property
    def alt(self) -> str:
        areas = "; ".join(
            f"{curve.detector}: AUROC {curve.auroc.value:.3f}, average precision "
            f"{curve.average_precision.value:.3f}"
            for curve in self.curves
        )
        return f"ROC curves and precision-recall curves. {areas}."

    def draw(self, canvas: Canvas) -> None:
        """Two panels, one line a detector in both, areas in the legends."""
        left, right = canvas.subplots(1, 2)
        left.plot((0, 1), (0, 1), color=FAINT, linewidth=0.8, linestyle=":")
        right.axhline(self.share, color=FAINT, linewidth=0.8, linestyle=":")
        for number, curve in enumerate(self.curves):
            colour = LINES[number % len(LINES)]
            dashes = DASHES[number % len(DASHES)]
            band(
                left,
                FALSE_ALARMS,
                *curve.recall,
                color=colour,
                label=f"{curve.detector}  (AUROC {curve.auroc.value:.3f}, "
                f"AP {curve.average_precision.value:.3f})",
                dashes=dashes,
            )
            band(
                right,
                RECALLS,
                *curve.precision,
                color=colour,
                label="",
                dashes=dashes,
            )
        left.set(title="ROC", xlabel="real mentions flagged", ylabel="hallucinated mentions found")
        right.set(
            title="Precision and recall",
            xlabel="hallucinated mentions found",
            ylabel="flags that are right",
        )
        canvas.legend(
            handles=left.get_legend_handles_labels()[0], loc="outside lower center", ncols=3
        )
        for axes in (left, right):
            axes.set(xlim=(0, 1), ylim=(0, 1.02))
            axes.xaxis.set_major_formatter("{x:.0%}")
            axes.yaxis.set_major_formatter("{x:.0%}")


def _with_interval(measured: Floats, drawn: Sequence[Floats]) -> Floats:
    if not drawn:
        return np.vstack([measured, np.full((2, measured.shape[1]), np.nan)])
    return np.vstack([measured, np.quantile(np.concatenate(drawn), (0.025, 0.975), axis=0)])
