"""What Eq. 4, always on, does to the small model's captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..objects.chair import Chair, Counts, Labelled, chair
from ..statistics import Estimate, difference, relative_change


@dataclass(frozen=True, slots=True)
class Mitigation:
    """One always-on setting of Eq. 4 beside greedy decoding on the same pictures, paired."""

    alpha: float
    first: int
    last: int
    chair: Chair
    chair_i_change: Estimate
    recall_change: Estimate


def mitigation(
    alpha: float, layers: tuple[int, int], treated: Sequence[Labelled], greedy: Sequence[Labelled]
) -> Mitigation:
    """Compare captions under Eq. 4 with the greedy captions of the same pictures."""
    a, b = Counts.of(treated), Counts.of(greedy)
    return Mitigation(
        alpha,
        *layers,
        chair(treated),
        relative_change(a.wrong, a.mentions, b.wrong, b.mentions),
        difference(a.found, a.objects, b.found, b.objects),
    )


ALPHAS: Final = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Strengths of Eq. 4 that the model card reports."""


def intervention_ranges(layers: int) -> tuple[tuple[int, int], ...]:
    """Layer ranges that the model card reports Eq. 4 for: all, thirds, halves, the middle."""
    third, half = layers // 3, layers // 2
    return (
        (0, layers - 1),
        (0, third - 1),
        (third, 2 * third - 1),
        (2 * third, layers - 1),
        (0, half - 1),
        (half, layers - 1),
        (layers // 6, layers - layers // 6 - 1),
    )
