"""Results of one pass as they come, a few layers at a time."""

from __future__ import annotations

import torch
from torch import Tensor


class Parts:
    """Results ``[some layers, ...]`` as they come; ``packed``, in one block of memory."""

    def __init__(self, layers: int, packed: bool) -> None:
        self._layers = layers
        self._packed = packed
        self._block: Tensor | None = None
        self._filled = 0
        self._list: list[Tensor] = []

    def add(self, part: Tensor) -> None:
        """Keep a part."""
        if not self._packed:
            self._list.append(part)
            return
        if self._block is None:
            self._block = part.new_empty(self._layers, *part.shape[1:])
        end = self._filled + len(part)
        self._block[self._filled : end].copy_(part, non_blocking=True)
        self._filled = end

    def joined(self) -> Tensor:
        """All parts, ``[layers, ...]``, in the order they came."""
        if self._block is not None:
            return self._block
        if len(self._list) == 1:
            return self._list[0]
        device = self._list[0].device  # a model may be spread over several
        return torch.cat([part.to(device, non_blocking=True) for part in self._list])
