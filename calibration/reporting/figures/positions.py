"""Position is not vision: what becomes of the scores along the caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import numpy.typing as npt

from ....detectors.evidence import IMAGE
from ....detectors.svar import LayerRange, svar
from ...collecting.table import CalibrationTable
from ...fitting.scores import Scores
from ...statistics import auroc, means_by_image
from .figure import Figure, Missing
from .style import INK, MADE_UP, REAL, band, layers_in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Floats = npt.NDArray[np.float64]

_FEWEST: Final = 10  # mentions of a kind at a place, for a mean of them


@dataclass(frozen=True, slots=True, eq=False)
class Positions(Figure):
    """Hallucinated share, SVAR and a detector's probability by mention index.

    Attributes:
        detector: whose probabilities.
        layers: what SVAR sums over.
        share: float64 ``[3, k]``, share hallucinated among the mentions with index ``0..k-1``,
            and its 95% interval by image.
        svar_real: float64 ``[3, k]``, mean SVAR of real mentions there; NaN where too few.
        svar_hallucinated: float64 ``[3, k]``.
        probability_real: float64 ``[3, k]``, mean probability of being hallucinated.
        probability_hallucinated: float64 ``[3, k]``.
        position_auroc: what the mention index alone would reach.
    """

    name: ClassVar[str] = "positions"
    title: ClassVar[str] = "Position is not vision"
    size: ClassVar[tuple[float, float]] = (10.0, 3.5)

    detector: str
    layers: LayerRange
    share: Floats
    svar_real: Floats
    svar_hallucinated: Floats
    probability_real: Floats
    probability_hallucinated: Floats
    position_auroc: float

    @classmethod
    def of(
        cls, table: CalibrationTable, layers: LayerRange, found: Scores, *, draws: int = 400
    ) -> Positions | Missing:
        """Means by mention index, as far into the caption as there are enough mentions."""
        if found.probabilities is None:
            return Missing.instead_of(
                cls, f"The scores of {found.detector} were not made into probabilities."
            )
        var = table.mentions.masses[..., IMAGE]
        sound = np.isfinite(var).all(axis=(1, 2)) & np.isfinite(found.probabilities)
        labels, index = table.labels[sound], table.mentions.index[sound]
        enough = np.bincount(index) >= 2 * _FEWEST
        here = index[:, None] == np.arange(len(enough) if enough.all() else int(enough.argmin()))
        if not here.shape[1]:
            return Missing.instead_of(
                cls, f"Fewer than {2 * _FEWEST} mentions open a caption. Collect more images."
            )

        def means(values: Floats, kind: npt.NDArray[np.bool_]) -> Floats:
            counted = here & kind[:, None]
            wide = np.broadcast_to(values[:, None].astype(float), here.shape)
            mean = means_by_image(wide, counted, table.images[sound], draws=draws)
            mean[:, counted.sum(axis=0) < _FEWEST] = np.nan
            return mean

        looked = svar(var[sound], table.mentions.layers, layers)
        probability = found.probabilities[sound]
        return cls(
            found.detector,
            layers,
            means(labels.astype(float), np.ones(len(labels), bool)),
            means(looked, labels == 0),
            means(looked, labels == 1),
            means(probability, labels == 0),
            means(probability, labels == 1),
            auroc(labels, index.astype(float)),
        )

    @property
    def caption(self) -> str:
        return (
            f"How often mentions are hallucinated depends on their place in the caption (left): "
            f"the mention index alone reaches AUROC {self.position_auroc:.2f}, without any look at "
            f"the image. What counts is the distance between the two lines at the same place: by "
            f"SVAR (middle) and by the probability of {self.detector} (right). Bands are 95% "
            f"intervals by image."
        )

    @property
    def alt(self) -> str:
        return (
            f"Three panels over mention index 0 to {self.share.shape[1] - 1}: the share "
            f"hallucinated goes from {self.share[0, 0]:.0%} to {self.share[0, -1]:.0%}; mean SVAR "
            f"and mean probability of {self.detector}, each for real and hallucinated mentions."
        )

    def draw(self, canvas: Canvas) -> None:
        """Three panels over the mention index."""
        left, middle, right = canvas.subplots(1, 3)
        index = np.arange(self.share.shape[1])
        band(left, index, *self.share, color=INK, label="", marker="o")
        left.set(title="How many are hallucinated", ylim=(0, None))
        for axes, real, made_up in (
            (middle, self.svar_real, self.svar_hallucinated),
            (right, self.probability_real, self.probability_hallucinated),
        ):
            band(axes, index, *real, color=REAL, label="real", marker="o")
            band(
                axes, index, *made_up, color=MADE_UP, label="hallucinated", marker="s", dashes="--"
            )
        middle.set(title=f"Mean SVAR, {layers_in_words(self.layers)}")
        right.set(title=f"Mean probability, {self.detector}", ylim=(0, 1))
        middle.legend()
        for axes in (left, right):
            axes.yaxis.set_major_formatter("{x:.0%}")
        for axes in (left, middle, right):
            axes.set_xlabel("mention index")
            axes.set_xticks(index[:: max(1, len(index) // 8)])
