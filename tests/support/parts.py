"""What tiny models of vision-language families are put together from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

VOCABULARY = 120
IMAGE = 110
"""The image placeholder of every tiny model; the ids from here on are never written."""

TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 6,
}
MROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
IMAGE_TOKENS = {
    "image_token_id": IMAGE,
    "video_token_id": IMAGE + 1,
}
VISION_TOKENS = {
    **IMAGE_TOKENS,
    "vision_start_token_id": IMAGE + 2,
    "vision_end_token_id": IMAGE + 3,
}


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A tiny model, and what its prompts need beside their text.

    Attributes:
        model: a model with random weights; transformers leaves ``generate`` untyped.
        picture: how many image tokens stand for one picture, or their very ids ``[tokens]``.
        inputs: pixel values and the like, one picture for each row.
        types: name of the input that tells image tokens (1) from text (0) beside the ids.
        others: inputs that depend on the prompts, from ``input_ids`` ``[rows, length]``.
        overrides: what ``Anatomy.of`` must be told of the model.
        note: what differs from the family's real models or from the ordinary way to watch them.
    """

    model: Any
    picture: int | Tensor
    inputs: dict[str, Tensor] = field(default_factory=dict)
    types: str | None = None
    others: Callable[[Tensor], dict[str, Tensor]] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


Builder = Callable[[int], Parts]
"""Called with the number of rows; the weights do not depend on it."""


def make(model: str, config: str, **options: Any) -> Any:
    """A model of the named classes of transformers, with random weights.

    A test that asks for a class which this version of transformers has not yet is skipped.
    """
    if not (hasattr(transformers, model) and hasattr(transformers, config)):
        pytest.skip(f"transformers {transformers.__version__} has no {model}")
    # Some configs write into what they are given.
    return getattr(transformers, model)(getattr(transformers, config)(**copy.deepcopy(options)))


def clip(**options: Any) -> transformers.CLIPVisionConfig:
    """A CLIP tower that sees 16 patches and a class token."""
    return transformers.CLIPVisionConfig(**{**VISION, "projection_dim": 16, **options})


def siglip(**options: Any) -> transformers.SiglipVisionConfig:
    """A SigLIP tower that sees 16 patches."""
    return transformers.SiglipVisionConfig(**{**VISION, "vision_use_head": False, **options})


def pictures(rows: int, *shape: int) -> dict[str, Tensor]:
    """Random ``pixel_values`` of one shape for each row."""
    return {"pixel_values": torch.randn(rows, *shape)}


def sizes(rows: int, *size: int) -> Tensor:
    """One size for each row, int64 ``[rows, ...]``."""
    return torch.tensor([list(size)] * rows)


def patches(rows: int, patch: int = 6, frames: int = 2) -> dict[str, Tensor]:
    """A picture of 4 x 8 patches for each row, flattened as Qwen's processors do it."""
    return {
        "pixel_values": torch.randn(rows * 32, 3 * frames * patch * patch),
        "image_grid_thw": sizes(rows, 1, 4, 8),
    }
