"""A decoding step that is read when it is long over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .call import Call
from .frame import kind_of
from .rows import shows_all


@dataclass(frozen=True, slots=True, eq=False)
class Postponed:
    """A decoding step that can still be read when it is long over, given its layers' keys.

    Attributes:
        queries: ``[layers, batch, heads, dim]``, of the step's only row.
        length: how many keys, from the first, the row could see.
        mask: which of them it saw, ``[batch or 1, 1, 1, length]``; all if ``None``.
        scaling: factor of the scores.
        softcap: bound of the scores.
    """

    queries: Tensor
    length: int
    mask: Tensor | None
    scaling: float | None
    softcap: float | None

    @classmethod
    def of(cls, calls: Sequence[Call], start: int) -> Postponed | None:
        """The step as it can be read later, given the keys of these calls.

        Args:
            calls: of its layers, ascending.
            start: position in the sequence of its row.

        Returns:
            ``None`` unless all layers are alike: their keys are all positions of the sequence, all
            heads see them by the same mask, and score them in the same way.
        """
        first, total = calls[0], start + 1
        if first.key.shape[2] != total or not shows_all(first.name, first.mask, first.options):
            return None
        kind = kind_of(first)
        if any(kind_of(call) != kind for call in calls[1:]):
            return None
        return cls(
            queries=torch.stack([call.query[:, :, 0] for call in calls]),
            length=total,
            mask=first.mask if isinstance(first.mask, Tensor) else None,
            scaling=first.options.get("scaling"),
            softcap=first.options.get("softcap"),
        )
