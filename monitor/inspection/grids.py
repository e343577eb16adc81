"""Which image tokens lie where in the picture, for models whose order of tokens is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from ..report import Grid
from .probes import Box, Encode, boxes

_TILES: Final = frozenset(
    {
        "aya_vision",
        "gemma3",
        "idefics3",
        "internvl",
        "llava",
        "paligemma",
        "smolvlm",
        "vipllava",
    }
)
"""Tile after tile, each row by row, as many tokens for each."""
_FLAT: Final = frozenset(
    {
        "glm4v",
        "glm4v_moe",
        "qwen2_5_vl",
        "qwen2_vl",
        "qwen3_vl",
        "qwen3_vl_moe",
    }
)
"""The whole picture, row by row; the processor says how many."""
_ANYRES: Final = frozenset({"llava_next", "llava_onevision"})
"""The whole picture, then its tiles put together again, with a token at the end of each row."""
_SIZED: Final = frozenset({"mistral3"})
"""The whole picture, row by row, as many as its size in pixels asks for."""

_WHOLE: Final = Box(0.0, 0.0, 1.0, 1.0)


def grids(
    config: Any, inputs: Mapping[str, Any], encode: Encode, size: tuple[int, int], tokens: int
) -> tuple[Grid, ...]:
    """Which image tokens lie where in a picture.

    Args:
        config: the model's.
        inputs: what the processor made of the picture, without a batch of others.
        encode: what makes such inputs; it is given pictures of the same size, to see what it does
            to them.
        size: width and height of the picture.
        tokens: how many image tokens there are.

    Returns:
        nothing where the model's order of tokens is not known, or is not what it should be.
    """
    kind = getattr(config, "model_type", "")
    found: Iterator[Grid] = iter(())
    if kind in _FLAT:
        found = _flat(config, inputs, tokens)
    elif kind in _SIZED:
        found = _sized(config, inputs, tokens)
    elif kind in _TILES:
        found = _tiled(inputs, boxes(encode, size), tokens)
    elif kind in _ANYRES:
        found = _anyres(config, inputs, boxes(encode, size), tokens)
    return tuple(found)


def _flat(config: Any, inputs: Mapping[str, Any], tokens: int) -> Iterator[Grid]:
    sizes: Tensor = torch.as_tensor(inputs["image_grid_thw"])
    merge = int(config.vision_config.spatial_merge_size)
    rows, columns = (int(one) // merge for one in sizes[0, 1:])
    if rows * columns == tokens:
        yield _grid(0, rows, columns, _WHOLE)


def _sized(config: Any, inputs: Mapping[str, Any], tokens: int) -> Iterator[Grid]:
    sizes: Tensor = torch.as_tensor(inputs["image_sizes"])
    merge = int(config.spatial_merge_size) * int(config.vision_config.patch_size)
    rows, columns = (int(one) // merge for one in sizes[0])
    if rows * columns == tokens:
        yield _grid(0, rows, columns, _WHOLE)


def _tiled(inputs: Mapping[str, Any], parts: tuple[Box | None, ...], tokens: int) -> Iterator[Grid]:
    height, width = inputs["pixel_values"].shape[-2:]
    each = tokens // len(parts)
    rows = round(math.sqrt(each * height / width))
    columns = round(rows * width / height)
    if rows * columns * len(parts) != tokens:
        return
    for place, box in enumerate(parts):
        if box is not None:  # a tile that is all margin lies nowhere
            yield _grid(place * each, rows, columns, box)


def _anyres(
    config: Any, inputs: Mapping[str, Any], parts: tuple[Box | None, ...], tokens: int
) -> Iterator[Grid]:
    """As ``pack_image_features`` of LLaVA-NeXT and LLaVA-OneVision puts them together."""
    from transformers.image_processing_utils import select_best_resolution
    from transformers.models.llava_next.modeling_llava_next import unpad_image

    size = torch.as_tensor(inputs["image_sizes"])
    if parts[0] is None:
        return
    pixels = int(config.vision_config.image_size)
    side = pixels // int(config.vision_config.patch_size)
    base = _grid(0, side, side, parts[0])
    if len(parts) == 1:
        if tokens == side * side + 1:
            yield base
        return
    best = select_best_resolution(tuple(size[0].tolist()), config.image_grid_pinpoints)
    shape = best[0] // pixels, best[1] // pixels
    shown = next(((place, box) for place, box in enumerate(parts[1:]) if box is not None), None)
    if shown is None or shape[0] * shape[1] != len(parts) - 1:
        return
    row, column = divmod(shown[0], shape[1])
    whole = shown[1].part(slice(-row, shape[0] - row), slice(-column, shape[1] - column), of=(1, 1))
    across = shape[0] * side, shape[1] * side
    places = torch.arange(across[0] * across[1]).view(1, *across)
    kept = unpad_image(places, size[0].tolist())[0]
    first, last = (divmod(int(place), across[1]) for place in (kept[0, 0], kept[-1, -1]))
    box = whole.part(slice(first[0], last[0] + 1), slice(first[1], last[1] + 1), of=across)
    rows, columns = kept.shape
    if config.model_type == "llava_onevision":
        most = int(str(config.vision_aspect_ratio).removeprefix("anyres_max_"))
        ratio = math.sqrt(rows * columns / (most * side**2))
        if ratio > 1.1:  # shrunk, then
            rows, columns = int(rows // ratio), int(columns // ratio)
    start = side * side
    if start + rows * (columns + 1) != tokens:
        return
    yield base
    for place in range(rows):
        line = box.part(slice(place, place + 1), slice(0, 1), of=(rows, 1))
        yield _grid(start + place * (columns + 1), 1, columns, line)


def _grid(start: int, rows: int, columns: int, box: Box) -> Grid:
    return Grid(
        start=start,
        rows=rows,
        columns=columns,
        left=box.left,
        top=box.top,
        right=box.right,
        bottom=box.bottom,
    )
