"""SVAR: how much of a token's attention went to the image, summed over the middle layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from .published import published

Source = Literal["published", "scaled", "user", "calibration"]

_REFERENCE_LAYERS: Final = 32
_REFERENCE: Final = (5, 18)


@dataclass(frozen=True, slots=True)
class LayerRange:
    """Decoder layers ``first`` to ``last``, both included, counted from 0.

    Attributes:
        first: the first layer of the sum.
        last: the last layer of the sum.
        source: where the range comes from: ``published`` for this very model, ``scaled`` by depth
            from LLaVA-1.5-7B's 5-18 of 32, chosen by the ``user``, or by a ``calibration``.
    """

    first: int
    last: int
    source: Source

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise ValueError(
                f"A layer range must satisfy 0 <= first <= last (both included), "
                f"was: {self.first}-{self.last}."
            )

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of the range, ascending."""
        return tuple(range(self.first, self.last + 1))

    def within(self, num_layers: int) -> LayerRange:
        """The range itself, once it is known to fit a decoder of ``num_layers``.

        Raises:
            ValueError: if the model has no such layer.
        """
        if self.last >= num_layers:
            raise ValueError(
                f"A layer range must lie within the model's layers 0-{num_layers - 1}, "
                f"was: {self}. Layers are counted from 0."
            )
        return self

    @classmethod
    def parse(cls, text: str, num_layers: int) -> LayerRange:
        """The user's range, written ``"5-18"``, or ``"7"`` for a single layer.

        Raises:
            ValueError: if the text is no range or leaves the model.
        """
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", text)
        if match is None:
            raise ValueError(
                f'A layer range must be written as two layer numbers, like "5-18", was: {text!r}.'
            )
        first = int(match[1])
        return cls(first, int(match[2] or first), "user").within(num_layers)

    @classmethod
    def published(cls, model: str, num_layers: int) -> LayerRange | None:
        """The range the paper reports for this model, or ``None`` if it reports none.

        Args:
            model: a model's name, hub id or folder, for example ``"llava-hf/llava-1.5-7b-hf"``.
            num_layers: depth of its decoder; a name whose depth disagrees is not the paper's
                model.

        Source: Jiang et al., arXiv 2411.16724: LLaVA-1.5 5-18, Shikra 3-13, MiniGPT-4 3-14.
        """
        found = published(model, num_layers)
        return None if found is None else cls(found.first, found.last, "published")

    @classmethod
    def scaled(cls, num_layers: int) -> LayerRange:
        """The middle layers of a model nobody measured: 5-18 of 32, at the same relative depth.

        Raises:
            ValueError: if ``num_layers`` is not positive.
        """
        if num_layers < 1:
            raise ValueError(f"A decoder must have at least 1 layer, was: {num_layers}.")
        # Edges of the layers, so that a shallow model keeps at least one.
        first = round(_REFERENCE[0] * num_layers / _REFERENCE_LAYERS)
        end = round((_REFERENCE[1] + 1) * num_layers / _REFERENCE_LAYERS)
        first = min(first, num_layers - 1)
        return cls(first, max(end - 1, first), "scaled")


def svar(
    var: npt.NDArray[np.floating], layers: Sequence[int], over: LayerRange
) -> npt.NDArray[np.float64]:
    """Summed visual attention ratio: the sum over layers of VAR's mean over heads.

    Args:
        var: ``[..., layers, heads]``, attention mass on image tokens of the predicting row, in
            0..1 (:attr:`~sightline.detectors.evidence.Evidence.var`).
        layers: which decoder layer each row of ``var`` is, counted from 0, ascending.
        over: the layers to sum; all must be among ``layers``.

    Returns:
        float64 ``[...]``, between 0 and the number of layers in the range; a low value means the
        token was predicted without looking. A scalar array for a single token: ``float(...)`` it.

    Raises:
        ValueError: if the shape does not fit ``layers``, a layer of the range was not watched, or
            a value is not finite.

    Source: Jiang et al., arXiv 2411.16724, section 3 (SVAR over layers 5-18).
    """
    values = np.asarray(var, dtype=np.float64)
    if values.ndim < 2 or values.shape[-2] != len(layers):
        raise ValueError(
            f"VAR must have shape [..., {len(layers)} layers, heads], was: {values.shape}."
        )
    if not values.shape[-1]:
        raise ValueError("VAR must have at least one head, had none.")
    missing = [layer for layer in over.layers if layer not in layers]
    if missing:
        raise ValueError(
            f"Every layer of the range {over} must have been watched, missing: {missing}. Watch "
            f"them (layers=) or choose a range within {min(layers)}-{max(layers)}."
        )
    first = list(layers).index(over.first)  # the layers ascend: those of the range are neighbours
    total = values[..., first : first + len(over.layers), :].sum(axis=(-2, -1))
    if not np.isfinite(total).all():
        raise ValueError(
            "VAR must be finite, was NaN or infinite: the model's attention overflowed. Load it "
            "in bfloat16 or float32 rather than float16."
        )
    return np.asarray(total / values.shape[-1])
