"""Where in a picture the pixels come from that a model is shown: measured, not known.

Processors resize, crop, pad and divide pictures, each in its own way. What they did to a picture
they do to any other of its size: so one is processed whose colours tell the place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

Encode = Callable[[Image.Image], Mapping[str, Any]]
"""Makes of a picture what the model is given, ``pixel_values`` among it."""

_LEAST: Final = 4  # columns or rows of picture that a line can be laid through
_EDGE: Final = 0.06  # share of them at either end, where resizing bends it
_SAME: Final = 1 / 256  # of the picture: less cannot be told apart
_OFF: Final = 0.02  # of the picture: more than this off the line, and it is none


@dataclass(frozen=True, slots=True)
class Box:
    """Part of a picture, in shares of its width and height; it may reach beyond it."""

    left: float
    top: float
    right: float
    bottom: float

    def part(self, rows: slice, columns: slice, *, of: tuple[int, int]) -> Box:
        """Some rows and columns of it, where it has ``of`` of them."""
        height, width = (self.bottom - self.top) / of[0], (self.right - self.left) / of[1]
        return Box(
            self.left + columns.start * width,
            self.top + rows.start * height,
            self.left + columns.stop * width,
            self.top + rows.stop * height,
        )


def boxes(encode: Encode, size: tuple[int, int]) -> tuple[Box | None, ...]:
    """What part of a picture each tile shows that a processor makes of it.

    Args:
        encode: the processor.
        size: width and height of the picture.

    Returns:
        one box per tile, in the order of ``pixel_values`` ``[..., 3, height, width]``; ``None``
        for a tile that shows nothing but a margin, or no part of the picture as it was.
    """
    width, height = size
    ramps = np.zeros((height, width, 3), dtype=np.uint8)
    ramps[..., 0] = np.rint(255 * (np.arange(width) + 0.5) / width)
    ramps[..., 1] = np.rint(255 * (np.arange(height) + 0.5) / height)[:, None]
    black, white, placed = (
        _tiles(encode(picture))
        for picture in (
            Image.new("RGB", size, "black"),
            Image.new("RGB", size, "white"),
            Image.fromarray(ramps),
        )
    )
    # Normalisation is linear, and the same for all: what black and white became undoes it.
    range_ = white - black
    known = np.abs(range_[:, :2]) > np.abs(range_[:, :2]).max() / 2
    share = (placed - black)[:, :2] / np.where(known, range_[:, :2], 1)
    found: list[Box | None] = []
    for values, there in zip(share, known, strict=True):
        across = _line(values[0], there[0])
        down = _line(values[1].T, there[1].T)
        if across is None or down is None:
            found.append(None)
        else:
            found.append(Box(across[0], down[0], across[1], down[1]))
    return tuple(found)


def _tiles(inputs: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    pixels: Tensor = inputs["pixel_values"]
    return pixels.reshape(-1, *pixels.shape[-3:]).double().cpu().numpy()


def _line(
    values: npt.NDArray[np.float64], known: npt.NDArray[np.bool_]
) -> tuple[float, float] | None:
    """The shares at a tile's two ends, from those ``[any, width]`` within it."""
    columns = np.flatnonzero(known.any(axis=0))
    edge = int(np.ceil(len(columns) * _EDGE))
    columns = columns[edge : len(columns) - edge]
    if len(columns) < _LEAST:
        return None
    weights = known[:, columns]
    means = (values[:, columns] * weights).sum(axis=0) / weights.sum(axis=0)
    slope, offset = np.polyfit(columns + 0.5, means, 1)
    if slope <= 0 or np.abs(slope * (columns + 0.5) + offset - means).max() > _OFF:
        return None
    return _end(float(offset)), _end(float(offset + slope * values.shape[1]))


def _end(share: float) -> float:
    """An end as far as eight bits tell; one that may be the picture's own is."""
    nearest = round(share)
    return float(nearest) if abs(share - nearest) < _SAME else round(share, 3)
