"""Where the model looks while it names an object: attention to the image, layers by heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from ....detectors.evidence import IMAGE
from ...collecting.table import CalibrationTable
from .figure import Figure
from .style import DIVERGING, SEQUENTIAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.image import AxesImage


@dataclass(frozen=True, slots=True, eq=False)
class HeadMap(Figure):
    """Mean VAR of real and of hallucinated mentions (Jiang et al., arXiv 2411.16724, Fig. 2a).

    Attributes:
        layers: the ``L`` layers, counted from 0.
        real: float64 ``[L, heads]``, mean over real mentions.
        hallucinated: float64 ``[L, heads]``, mean over hallucinated mentions.
    """

    name: ClassVar[str] = "var-heads"
    title: ClassVar[str] = "Where the model looks while it names an object"
    size: ClassVar[tuple[float, float]] = (10.0, 3.9)

    layers: tuple[int, ...]
    real: npt.NDArray[np.float64]
    hallucinated: npt.NDArray[np.float64]

    @classmethod
    def of(cls, table: CalibrationTable) -> HeadMap:
        """Means over all mentions of a table whose attention was finite."""
        var = table.mentions.masses[..., IMAGE].astype(np.float64)
        sound = np.isfinite(var).all(axis=(1, 2))
        return cls(
            table.mentions.layers,
            var[sound & (table.labels == 0)].mean(axis=0),
            var[sound & (table.labels == 1)].mean(axis=0),
        )

    @property
    def difference(self) -> npt.NDArray[np.float64]:
        """Real minus hallucinated, float64 ``[L, heads]``."""
        return self.real - self.hallucinated

    @property
    def caption(self) -> str:
        share = float((self.difference > 0).mean())
        layer, head = np.unravel_index(np.abs(self.difference).argmax(), self.difference.shape)
        return (
            f"Each cell is one attention head: the mean share of its attention that goes to image "
            f"tokens while it predicts the first token of an object. {share:.0%} of the heads look "
            f"at the image more for real objects; layer {self.layers[int(layer)]}, head {head} "
            f"differs most ({self.difference[layer, head]:+.2f})."
        )

    @property
    def alt(self) -> str:
        return (
            f"Three heat maps of {len(self.layers)} layers by {self.real.shape[1]} heads: mean "
            f"attention to the image for real objects (mean {self.real.mean():.3f}), for "
            f"hallucinated objects (mean {self.hallucinated.mean():.3f}), and their difference."
        )

    def draw(self, canvas: Canvas) -> None:
        """Two maps on one scale, and their difference on its own, white at none."""
        left, middle, right = canvas.subplots(1, 3, sharey=True)
        top = float(max(self.real.max(), self.hallucinated.max()))
        extreme = float(np.abs(self.difference).max()) or 1.0
        shown = self._map(left, self.real, "Real objects", SEQUENTIAL, 0.0, top)
        self._map(middle, self.hallucinated, "Hallucinated objects", SEQUENTIAL, 0.0, top)
        canvas.colorbar(shown, ax=(left, middle), label="mean VAR", fraction=0.05, pad=0.025)
        shown = self._map(
            right, self.difference, "Real − hallucinated", DIVERGING, -extreme, extreme
        )
        canvas.colorbar(shown, ax=right, label="difference of mean VAR", fraction=0.1, pad=0.03)
        left.set_ylabel("layer")

    def _map(
        self,
        axes: Axes,
        values: npt.NDArray[np.float64],
        title: str,
        colours: str,
        low: float,
        high: float,
    ) -> AxesImage:
        shown = axes.imshow(
            values, cmap=colours, vmin=low, vmax=high, aspect="auto", origin="lower"
        )
        every = max(1, len(self.layers) // 12)
        axes.set_yticks(range(0, len(self.layers), every), list(map(str, self.layers[::every])))
        every = max(1, values.shape[1] // 8)
        axes.set_xticks(range(0, values.shape[1], every))
        axes.set(title=title, xlabel="head")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        return shown
