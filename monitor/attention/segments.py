"""Which segment each position of a sequence belongs to, as a table that grows with the caption."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...detectors.evidence import IMAGE, SEGMENTS
from ..errors import InputError, WatchError

_FIRST = SEGMENTS.index("first")
_PROMPT = SEGMENTS.index("prompt")
_GENERATED = SEGMENTS.index("generated")
_ROOM = 256  # positions added at a time, so that the table is rarely rebuilt


@dataclass(frozen=True, slots=True, eq=False)
class ImageIndex:
    """Where each row's image tokens are: ``positions`` int64 and ``exists`` bool, both
    ``[batch, image tokens]``; rows with fewer image tokens than the longest are padded."""

    positions: Tensor
    exists: Tensor


class Segments:
    """Segment membership of every position, for a batch of prompts and what follows them.

    Args:
        image: bool ``[batch, prompt]``, True on image tokens.
        prompt_mask: ``[batch, prompt]``, 0 on padding; ``None`` if nothing is padded.

    Raises:
        InputError: if the shapes or types disagree, an image token is padding, or a prompt is
            nothing but padding.
    """

    def __init__(self, image: Tensor, prompt_mask: Tensor | None) -> None:
        if image.ndim != 2 or image.dtype != torch.bool or not image.numel():
            raise InputError(
                f"image must be a bool tensor [batch, prompt length], was: {image.dtype} "
                f"{tuple(image.shape)}."
            )
        if prompt_mask is None:
            seen = torch.ones_like(image)
        elif prompt_mask.shape != image.shape:
            raise InputError(
                f"prompt_mask must have the shape of image {tuple(image.shape)}, was: "
                f"{tuple(prompt_mask.shape)}. Pass the mask of the prompt alone."
            )
        else:
            seen = prompt_mask.to(image.device).bool()
        if bool((image & ~seen).any()):
            raise InputError("Image tokens must not be padding: prompt_mask is 0 on some of them.")
        if not bool(seen.any(dim=1).all()):
            raise InputError("Every prompt must have an unpadded position; one is all padding.")
        self.batch, self.prompt = image.shape
        first = torch.zeros_like(image)
        first.scatter_(1, seen.int().argmax(dim=1, keepdim=True), True)
        first &= ~image
        table = torch.zeros(*image.shape, len(SEGMENTS))
        table = table.to(image.device)
        table[..., IMAGE] = image
        table[..., _FIRST] = first
        table[..., _PROMPT] = seen & ~image & ~first
        self._prompt_table = table
        self._tables: dict[tuple[int, torch.device], Tensor] = {}
        self._index = image_index(image)
        self._indices: dict[tuple[int, torch.device], ImageIndex] = {}

    def repeats(self, rows: int) -> int:
        """How many consecutive rows of a forward pass belong to one prompt.

        Raises:
            WatchError: if ``rows`` is no multiple of the number of prompts.
        """
        if rows % self.batch:
            raise WatchError(
                f"A forward pass must have a multiple of the {self.batch} watched prompts as its "
                f"rows, had: {rows}. Open a tap for the batch that the model is given."
            )
        return rows // self.batch

    def table(self, rows: int, length: int, device: torch.device) -> Tensor:
        """Float32 ``[rows, at least length, segments]``: 1 where a position is in a segment."""
        key = (rows, device)
        table = self._tables.get(key)
        if table is None:
            table = self._prompt_table.to(device).repeat_interleave(self.repeats(rows), dim=0)
        if table.shape[1] < length:
            later = table.new_zeros(rows, length + _ROOM - table.shape[1], len(SEGMENTS))
            later[..., _GENERATED] = 1
            table = torch.cat([table, later], dim=1)
        self._tables[key] = table
        return table

    def image_index(self, rows: int, device: torch.device) -> ImageIndex:
        """The image tokens of each of ``rows`` rows."""
        key = (rows, device)
        if key not in self._indices:
            times = self.repeats(rows)
            self._indices[key] = ImageIndex(
                self._index.positions.to(device).repeat_interleave(times, dim=0),
                self._index.exists.to(device).repeat_interleave(times, dim=0),
            )
        return self._indices[key]


def image_index(image: Tensor) -> ImageIndex:
    """The image tokens of each row of ``image``, bool ``[batch, prompt]``, by position."""
    counts = image.sum(dim=1)
    width = int(counts.max())
    # A stable sort of "is no image token" brings each row's image tokens to the front, in order.
    positions = (~image).int().argsort(dim=1, stable=True)[:, :width]
    exists = torch.arange(width, device=image.device) < counts.unsqueeze(1)
    return ImageIndex(positions, exists)
