"""Eq. 4 of the paper: make a decoder look at the image while it predicts the next token."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class HeadGuided:
    """Head-guided attention: add what the heads see on average to what each head sees.

    For the last query row of every forward pass (the row that predicts the next token, the
    prompt's last row included), in the layers given, with ``S_h(i)`` the scaled score of head
    ``h`` on key ``i`` before the softmax::

        S_h(i) <- S_h(i) + alpha * mean_h |S_h(i)|      for every image token i

    Rows whose ``alpha`` is 0 are bitwise those of a pass without it. ``alpha`` may be set anew
    between steps, by assignment: a tensor given here is copied.

    Args:
        alpha: strength, at least 0; one for all rows, or a float tensor ``[batch]``. The paper
            uses 0.5 on LLaVA-1.5-7B; 0.6 already degrades it.
        layers: decoder layers to act on, counted from 0.

    Source: Jiang et al., arXiv 2411.16724, Eq. 4.
    """

    def __init__(self, alpha: float | Tensor, layers: Iterable[int]) -> None:
        self.layers = frozenset(layers)
        if not self.layers:
            raise ValueError("HeadGuided must act on at least one layer, layers was empty.")
        self.alpha = alpha

    @property
    def alpha(self) -> float | Tensor:
        """Strength: one number, or one per row as a float tensor ``[batch]``."""
        return self._alpha

    @alpha.setter
    def alpha(self, value: float | Tensor) -> None:
        if isinstance(value, Tensor):
            if value.ndim != 1 or not value.numel() or not value.is_floating_point():
                raise ValueError(
                    f"alpha must be a float tensor of shape [batch], was: {value.dtype} "
                    f"{tuple(value.shape)}."
                )
            value = value.detach().clone()
            lowest, highest = float(value.min()), float(value.max())
        else:
            lowest = highest = value = float(value)
        if not 0 <= lowest <= highest < float("inf"):
            raise ValueError(f"alpha must be finite and at least 0, was: {value}.")
        self._acts = highest > 0
        self._alpha: float | Tensor = value
        # Copied to a device once and not in every layer, where the copy would wait for it.
        self._placed: dict[tuple[int, torch.device], Tensor] = {}

    @property
    def acts(self) -> bool:
        """Whether any row has a non-zero ``alpha``."""
        return self._acts

    def strength(self, rows: int, device: torch.device) -> Tensor:
        """``alpha`` as float32 ``[rows, 1, 1]`` on ``device``.

        ``rows`` may be a multiple of the batch (beams or several samples per prompt).

        Raises:
            ValueError: if ``rows`` is no multiple of the number of alphas.
        """
        kept = self._placed.get((rows, device))
        if kept is None:
            kept = self._placed[rows, device] = self._place(rows, device)
        return kept

    def _place(self, rows: int, device: torch.device) -> Tensor:
        if not isinstance(self._alpha, Tensor):
            return torch.full((rows, 1, 1), self._alpha, device=device)
        given = self._alpha.shape[0]
        if rows % given:
            raise ValueError(
                f"alpha must have one value per row of the batch ({rows}), had: {given}."
            )
        alpha = self._alpha.to(device, torch.float32)
        return alpha.repeat_interleave(rows // given).view(-1, 1, 1)


def guided_scores(scores: Tensor, image: Tensor, strength: Tensor) -> Tensor:
    """Scores after Eq. 4.

    Args:
        scores: float32 ``[batch, heads, keys]``, scaled, before any mask.
        image: float32 ``[batch, keys]``, 1 on image tokens and 0 elsewhere.
        strength: float32 ``[batch, 1, 1]``, alpha of each row.
    """
    boost = scores.abs().mean(dim=1, keepdim=True) * image.unsqueeze(1) * strength
    return scores + boost
