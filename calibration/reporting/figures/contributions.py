"""What attention adds to the object's logit, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from ...collecting.table import CalibrationTable
from ...statistics import means_by_image
from .figure import Figure, Missing
from .style import FAINT, MADE_UP, REAL, band

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Contributions(Figure):
    """Mean logit contribution of each attention sub-layer (arXiv 2411.16724, Fig. 2b).

    Attributes:
        layers: the ``L`` layers, counted from 0.
        real: float64 ``[3, L]``, mean over real mentions, and the ends of its 95% interval.
        hallucinated: float64 ``[3, L]``, the same of hallucinated mentions.
    """

    name: ClassVar[str] = "contributions"
    title: ClassVar[str] = "What attention adds to the object's logit"
    size: ClassVar[tuple[float, float]] = (7.2, 3.6)

    layers: tuple[int, ...]
    real: Floats
    hallucinated: Floats

    @classmethod
    def of(cls, table: CalibrationTable, *, draws: int = 400) -> Contributions | Missing:
        """Means over the mentions whose contributions were recorded, by image."""
        values = table.mentions.contributions.astype(np.float64)
        sound = np.isfinite(values).all(axis=1)
        labels = table.labels[sound]
        if not (labels == 0).any() or not (labels == 1).any():
            return Missing.instead_of(
                cls,
                "This table holds no logit contributions. Collect it with the logit lens: "
                "sightline calibrate collect --lens ...",
            )
        images = table.images[sound]
        return cls(
            table.mentions.layers,
            *(
                means_by_image(values[sound], (labels == label)[:, None], images, draws=draws)
                for label in (0, 1)
            ),
        )

    @property
    def caption(self) -> str:
        gap = self.real[0] - self.hallucinated[0]
        widest = int(np.abs(gap).argmax())
        return (
            f"The mean of what each layer's attention adds to the logit of the object's first "
            f"token, with 95% intervals. The two kinds differ most in layer "
            f"{self.layers[widest]}: {gap[widest]:+.2f} for real objects."
        )

    @property
    def alt(self) -> str:
        return (
            f"Two lines over {len(self.layers)} layers: mean logit contribution of attention for "
            f"real objects (sum {self.real[0].sum():.2f}) and hallucinated objects (sum "
            f"{self.hallucinated[0].sum():.2f})."
        )

    def draw(self, canvas: Canvas) -> None:
        """Two lines in their bands, and a thin line at no contribution."""
        axes = canvas.subplots()
        axes.axhline(0, color=FAINT, linewidth=0.8)
        band(axes, self.layers, *self.real, color=REAL, label="real", marker="o")
        band(
            axes,
            self.layers,
            *self.hallucinated,
            color=MADE_UP,
            label="hallucinated",
            marker="s",
            dashes="--",
        )
        axes.set_xticks(self.layers[:: max(1, len(self.layers) // 16)])
        axes.set(xlabel="layer", ylabel="added to the logit")
        axes.legend()
