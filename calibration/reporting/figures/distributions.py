"""How real and hallucinated objects differ in SVAR, and where they do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from ....detectors.evidence import IMAGE
from ....detectors.svar import LayerRange, svar
from ...collecting.table import CalibrationTable
from ...statistics import auroc
from .figure import Figure
from .style import MADE_UP, REAL, hatched, layers_in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SvarDistributions(Figure):
    """Histograms of SVAR (arXiv 2411.16724, Fig. 3).

    Attributes:
        layers: the layers summed.
        edges: float64 ``[bins + 1]``, SVAR.
        real: float64 ``[bins]``, share of the real mentions in each bin.
        hallucinated: float64 ``[bins]``, share of the hallucinated mentions in each bin.
        means: mean SVAR of real and of hallucinated mentions.
        auroc: how well SVAR tells them apart.
    """

    name: ClassVar[str] = "svar"
    title: ClassVar[str] = "Attention to the image, real against hallucinated"
    size: ClassVar[tuple[float, float]] = (7.2, 3.6)

    layers: LayerRange
    edges: Floats
    real: Floats
    hallucinated: Floats
    means: tuple[float, float]
    auroc: float

    @classmethod
    def of(cls, table: CalibrationTable, layers: LayerRange) -> SvarDistributions:
        """SVAR over some layers of the mentions whose attention was finite."""
        var = table.mentions.masses[..., IMAGE]
        sound = np.isfinite(var).all(axis=(1, 2))
        values, labels = svar(var[sound], table.mentions.layers, layers), table.labels[sound]
        edges = np.linspace(values.min(), values.max(), 41)
        real, made_up = values[labels == 0], values[labels == 1]
        return cls(
            layers,
            edges,
            real=np.histogram(real, edges)[0] / len(real),
            hallucinated=np.histogram(made_up, edges)[0] / len(made_up),
            means=(float(real.mean()), float(made_up.mean())),
            auroc=auroc(labels, -values),
        )

    @property
    def caption(self) -> str:
        return (
            f"SVAR over {layers_in_words(self.layers)}: the mean is {self.means[0]:.2f} for real "
            f"and {self.means[1]:.2f} for hallucinated objects, AUROC {self.auroc:.3f}. Where the "
            f"two overlap, no threshold can tell them apart."
        )

    @property
    def alt(self) -> str:
        return (
            f"Two overlapping histograms of SVAR: real objects around {self.means[0]:.2f}, "
            f"hallucinated objects around {self.means[1]:.2f}."
        )

    def draw(self, canvas: Canvas) -> None:
        """Two histograms of shares, so that the rarer kind is seen as well; lines at the means."""
        axes = canvas.subplots()
        for share, mean, colour, label, hatch in (
            (self.real, self.means[0], REAL, "real", ""),
            (self.hallucinated, self.means[1], MADE_UP, "hallucinated", "////"),
        ):
            hatched(axes, share, self.edges, color=colour, label=label, hatch=hatch)
            axes.axvline(mean, color=colour, linestyle=":", linewidth=1.4)
            axes.annotate(
                f"{mean:.2f}",
                (mean, 1.0),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                color=colour,
                fontsize=9,
            )
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.set(xlabel=f"SVAR, {layers_in_words(self.layers)}", ylabel="share of its kind")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper left")
