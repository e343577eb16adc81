"""Which layers to sum: the AUROC of SVAR over every range of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from ....detectors.evidence import IMAGE
from ....detectors.svar import LayerRange
from ...collecting.table import CalibrationTable
from ...statistics import auroc, auroc_within
from .figure import Figure
from .style import INK, SEQUENTIAL, layers_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LayerRanges(Figure):
    """AUROC of SVAR from each first to each last layer.

    Attributes:
        layers: the ``L`` layers, counted from 0.
        overall: float64 ``[L, L]``, first by last, all mentions; NaN where first is after last.
        within: float64 ``[L, L]``, first mentions, within mention index.
        chosen: the range that the detector sums over, chosen on other images; ``None`` if none.
    """

    name: ClassVar[str] = "layer-ranges"
    title: ClassVar[str] = "Which layers tell"
    size: ClassVar[tuple[float, float]] = (10.0, 4.3)

    layers: tuple[int, ...]
    overall: Floats
    within: Floats
    chosen: LayerRange | None

    @classmethod
    def of(cls, table: CalibrationTable, chosen: LayerRange | None = None) -> LayerRanges:
        """Both areas of every range; mentions whose attention was not finite are left out."""
        means = table.mentions.masses[..., IMAGE].mean(axis=2, dtype=np.float64)
        sound = np.isfinite(means).all(axis=1)
        first = sound & table.first
        sums = np.c_[np.zeros(len(means)), np.cumsum(means, axis=1)]
        count = len(table.mentions.layers)
        overall, within = (np.full((count, count), np.nan) for _ in range(2))
        for a in range(count):
            for b in range(a, count):
                score = sums[:, a] - sums[:, b + 1]  # little attention is suspicious
                overall[a, b] = auroc(table.labels[sound], score[sound])
                within[a, b] = auroc_within(
                    table.labels[first], score[first], table.mentions.index[first]
                )
        return cls(table.mentions.layers, overall, within, chosen)

    def best(self, values: Floats) -> LayerRange:
        """The range with the largest area."""
        a, b = np.unravel_index(np.nanargmax(values), values.shape)
        return LayerRange(self.layers[int(a)], self.layers[int(b)], "calibration")

    @property
    def caption(self) -> str:
        said = (
            f"Each cell is a range of layers. Best over all mentions: "
            f"{layers_in_words(self.best(self.overall))} "
            f"({np.nanmax(self.overall):.3f}); among first mentions at the same place in the "
            f"caption: {layers_in_words(self.best(self.within))} ({np.nanmax(self.within):.3f})."
        )
        if self.chosen is None:
            return said
        return f"{said} The star is {layers_in_words(self.chosen)}, chosen on other images."

    @property
    def alt(self) -> str:
        return (
            f"Two triangular heat maps of AUROC by first and last layer, from "
            f"{np.nanmin(self.overall):.2f} to {np.nanmax(self.overall):.2f} overall and from "
            f"{np.nanmin(self.within):.2f} to {np.nanmax(self.within):.2f} within mention index."
        )

    def draw(self, canvas: Canvas) -> None:
        """Two triangles on scales of their own; a frame around the best, a star on the chosen."""
        left, right = canvas.subplots(1, 2)
        self._triangle(canvas, left, self.overall, "All mentions")
        self._triangle(canvas, right, self.within, "First mentions, within mention index")

    def _triangle(self, canvas: Canvas, axes: Axes, values: Floats, title: str) -> None:
        from matplotlib.patches import Rectangle

        shown = axes.imshow(values, cmap=SEQUENTIAL, origin="lower")
        best = self.best(values)
        x, y = self.layers.index(best.last), self.layers.index(best.first)
        axes.add_patch(
            Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=2, zorder=3)
        )
        axes.annotate(
            f"best: {layers_in_words(best)}, {np.nanmax(values):.3f}",
            (0.04, 0.92),
            xycoords="axes fraction",
        )
        if self.chosen is not None and {self.chosen.first, self.chosen.last} <= set(self.layers):
            axes.plot(
                self.layers.index(self.chosen.last),
                self.layers.index(self.chosen.first),
                marker="*",
                markersize=9,
                color="white",
                markeredgecolor=INK,
                zorder=4,
            )
        every = max(1, len(self.layers) // 12)
        ticks, names = range(0, len(self.layers), every), list(map(str, self.layers[::every]))
        axes.set_xticks(ticks, names)
        axes.set_yticks(ticks, names)
        axes.set(title=title, xlabel="last layer", ylabel="first layer")
        axes.grid(visible=False)
        canvas.colorbar(shown, ax=axes, label="AUROC", fraction=0.05, pad=0.03)
