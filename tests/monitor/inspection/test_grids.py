"""Which image token lies where: found by pictures that differ in one place alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from sightline.monitor.inspection.grids import grids
from sightline.monitor.inspection.probes import boxes
from torch import Tensor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from ..families import build

SIDE = {"height": 24, "width": 24}
PINPOINTS = [[24, 24], [24, 48], [48, 24], [48, 48], [24, 72], [72, 24]]
CROP: dict[str, Any] = {"size": {"shortest_edge": 24}, "crop_size": SIDE}
ANYRES: dict[str, Any] = {"image_grid_pinpoints": PINPOINTS}
TILED: dict[str, Any] = {"size": SIDE, "crop_to_patches": True, "max_patches": 6}
FLAT: dict[str, Any] = {
    "patch_size": 6,
    "merge_size": 2,
    "size": {"shortest_edge": 24 * 24, "longest_edge": 60 * 60},
}
SPLIT: dict[str, Any] = {
    "size": {"longest_edge": 72},
    "max_image_size": {"longest_edge": 24},
    "return_row_col_info": False,
}
CASES: dict[str, tuple[str, Callable[..., Any], dict[str, Any]]] = {
    "llava": ("llava", CLIPImageProcessorPil, CROP),
    "llava, padded": (
        "llava",
        LlavaImageProcessorPil,
        {**CROP, "do_pad": True, "do_center_crop": False, "size": SIDE},
    ),
    "vipllava": ("vipllava", CLIPImageProcessorPil, CROP),
    "paligemma": ("paligemma", SiglipImageProcessorPil, {"size": SIDE}),
    "gemma3": ("gemma3", Gemma3ImageProcessorPil, {"size": SIDE}),
    "gemma3, crops": (
        "gemma3",
        Gemma3ImageProcessorPil,
        {
            "size": SIDE,
            "do_pan_and_scan": True,
            "pan_and_scan_min_crop_size": 16,
            "pan_and_scan_max_num_crops": 4,
            "pan_and_scan_min_ratio_to_activate": 1.2,
        },
    ),
    "llava_next": (
        "llava_next",
        LlavaNextImageProcessorPil,
        {**CROP, **ANYRES, "size": {"shortest_edge": 24}},
    ),
    "llava_onevision": (
        "llava_onevision",
        LlavaOnevisionImageProcessorPil,
        {"size": SIDE, **ANYRES},
    ),
    "internvl": ("internvl", GotOcr2ImageProcessorPil, TILED),
    "aya_vision": ("aya_vision", GotOcr2ImageProcessorPil, TILED),
    "idefics3": ("idefics3", Idefics3ImageProcessorPil, SPLIT),
    "smolvlm": ("smolvlm", SmolVLMImageProcessorPil, SPLIT),
    "qwen2_vl": ("qwen2_vl", Qwen2VLImageProcessorPil, FLAT),
    "qwen2_5_vl": ("qwen2_5_vl", Qwen2VLImageProcessorPil, FLAT),
    "qwen3_vl": ("qwen3_vl", Qwen2VLImageProcessorPil, FLAT),
    "qwen3_vl_moe": ("qwen3_vl_moe", Qwen2VLImageProcessorPil, FLAT),
    "glm4v_moe": ("glm4v_moe", Glm4vImageProcessorPil, FLAT),
    "glm4v": ("glm4v", Glm4vImageProcessorPil, FLAT),
    "mistral3": (
        "mistral3",
        PixtralImageProcessorPil,
        {"size": {"longest_edge": 48}, "patch_size": {"height": 6, "width": 6}},
    ),
}


def features(model: Any, inputs: Mapping[str, Any]) -> Tensor:
    """What stands for a picture in the sequence, ``[image tokens, hidden]``."""
    names = ("pixel_values", "image_grid_thw", "image_sizes", "pixel_attention_mask")
    given = {name: torch.as_tensor(inputs[name]) for name in names if name in inputs}
    with torch.no_grad():
        found: Any = model.get_image_features(**given)
    found = getattr(found, "pooler_output", found)
    parts = [found] if isinstance(found, Tensor) else list(found)
    return torch.cat([part.flatten(0, -2) for part in parts])


@torch.no_grad()
def short_sighted(kind: str) -> Any:
    """The family's model, its vision without attention: what a token shows is its own patch."""
    model = build(kind, rows=1).model
    model.config.image_grid_pinpoints = PINPOINTS
    text = set(model.get_decoder().modules())
    for module in model.modules():
        if "Attention" in type(module).__name__ and module not in text:
            for parameter in module.parameters():
                parameter.zero_()
    if kind == "gemma3":  # which begins with zeros
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)
    return model


@pytest.mark.parametrize("size", [(150, 100), (90, 200)], ids=["wide", "tall"])
@pytest.mark.parametrize("name", CASES)
def test_a_changed_patch_changes_its_token(name: str, size: tuple[int, int]) -> None:
    """What is painted on a picture changes most the token that the grid has there."""
    kind, make, options = CASES[name]
    model = short_sighted(kind)
    processor = make(**options)

    def encode(picture: Image.Image) -> Mapping[str, Any]:
        found: Mapping[str, Any] = processor(images=[picture], return_tensors="pt")
        return found

    width, height = size
    plain = np.full((height, width, 3), 128, dtype=np.uint8)
    inputs = encode(Image.fromarray(plain))
    before = features(model, inputs)
    found = grids(model.config, inputs, encode, size, len(before))
    assert found
    hits = 0
    for grid in found:
        for row, column in np.ndindex(grid.rows, grid.columns):
            if (row + 2 * column) % 3 and len(before) > 30:
                continue  # a third of them tells as much
            left, right = edges(grid.left, grid.right, grid.columns, column)
            top, bottom = edges(grid.top, grid.bottom, grid.rows, row)
            shown = visible(left, right) * visible(top, bottom)
            if shown < 0.4 * (right - left) * (bottom - top):
                continue  # most of it is margin
            left, top, right, bottom = max(left, 0), max(top, 0), min(right, 1), min(bottom, 1)
            painted = plain.copy()
            x = slice(round((left + (right - left) * 0.2) * width), round(right * width))
            y = slice(round((top + (bottom - top) * 0.2) * height), round(bottom * height))
            painted[y, x] = (255, 0, 60)
            change = (features(model, encode(Image.fromarray(painted))) - before).norm(dim=1)
            place = grid.start + row * grid.columns + column
            within = change[grid.start : grid.start + grid.rows * grid.columns]
            hits += 1
            assert int(within.argmax()) + grid.start == place, (grid, row, column)
    assert hits > 3


def visible(low: float, high: float) -> float:
    """How much of a span lies within the picture."""
    return max(min(high, 1.0) - max(low, 0.0), 0.0)


def edges(low: float, high: float, count: int, place: int) -> tuple[float, float]:
    """Where one of so many equal parts begins and ends."""
    step = (high - low) / count
    return low + place * step, low + (place + 1) * step


def test_boxes_of_a_crop_and_of_a_margin() -> None:
    """CLIP cuts the longer side off; a processor that pads shows more than the picture."""
    cut = CLIPImageProcessorPil(**CROP)
    (box,) = boxes(lambda picture: cut(images=[picture], return_tensors="pt"), (150, 100))
    assert box is not None
    assert [box.left, box.top, box.right, box.bottom] == pytest.approx(
        [1 / 6, 0, 5 / 6, 1], abs=0.002
    )
    padded = LlavaImageProcessorPil(do_pad=True, do_center_crop=False, size=SIDE)
    (box,) = boxes(lambda picture: padded(images=[picture], return_tensors="pt"), (150, 100))
    assert box is not None
    assert (box.left, box.right) == (0.0, 1.0)
    assert [box.top, box.bottom] == pytest.approx([-0.25, 1.25], abs=0.01)


def test_what_cannot_be_told_is_none() -> None:
    """A picture of a few pixels, a mirror, a model of another kind, another number of tokens."""
    cut = CLIPImageProcessorPil(**CROP)

    def encode(picture: Image.Image) -> Mapping[str, Any]:
        found: Mapping[str, Any] = cut(images=[picture], return_tensors="pt")
        return found

    def mirrored(picture: Image.Image) -> Mapping[str, Any]:
        return {"pixel_values": encode(picture)["pixel_values"].flip(-1)}

    size = (150, 100)
    inputs = encode(Image.new("RGB", size))
    config = transformers.LlavaConfig()
    assert len(grids(config, inputs, encode, size, 16)) == 1
    assert grids(config, inputs, mirrored, size, 16) == ()
    assert grids(config, inputs, encode, size, 17) == ()
    assert grids(transformers.Blip2Config(), inputs, encode, size, 16) == ()
