"""What a forward pass attended to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class StepAttention:
    """The attention of one forward pass.

    Attributes:
        layers: the decoder layers watched, counted from 0, ascending.
        masses: float32 on the model's device; ``[batch, layers, heads, segments]`` for the last
            query row, ``[batch, layers, heads, rows, segments]`` if the tap has ``rows``.
            Probability mass on each of :data:`~sightline.detectors.evidence.SEGMENTS`.
        patches: float32 ``[batch, layers, image tokens]`` (``[batch, layers, rows, image
            tokens]``), mean over heads of the attention to each image token in order of position,
            0 past a row's last image token; ``None`` unless the tap keeps patches.
        intervened: whether Eq. 4 acted in this pass. Its masses must not be judged then: they
            describe the attention after it was inflated.
    """

    layers: tuple[int, ...]
    masses: Tensor
    patches: Tensor | None
    intervened: bool

    def by_row(self) -> tuple[StepAttention, ...]:
        """One step per query row, in order, as if each had been a pass of its own."""
        if self.masses.ndim == 4:
            return (self,)
        masses = self.masses.unbind(3)
        none = (None,) * len(masses)
        patches = none if self.patches is None else self.patches.unbind(2)
        return tuple(
            StepAttention(self.layers, mass, patch, self.intervened)
            for mass, patch in zip(masses, patches, strict=True)
        )
