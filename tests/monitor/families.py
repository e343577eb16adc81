"""Tiny random models of fourteen vision-language families, with pixel values to match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel, set_seed

VOCABULARY = 120
IMAGE = 110
_TEXT: dict[str, Any] = {
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
_VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 6,
}
_MROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A family's tiny model and one batch of two prompts, the second left-padded.

    ``inputs`` is what ``generate`` and ``forward`` take; ``image`` is bool ``[batch, prompt]``.
    """

    name: str
    model: Any  # a PreTrainedModel; transformers leaves generate untyped
    inputs: dict[str, Tensor]

    @property
    def image(self) -> Tensor:
        """Where the image tokens are, bool ``[batch, prompt]``."""
        return self.inputs["input_ids"] == IMAGE


_BUILDERS: dict[str, Callable[[], tuple[PreTrainedModel, int, dict[str, Tensor]]]] = {}


def build(name: str) -> Family:
    """The family's model with random weights, always the same ones, and its inputs."""
    set_seed(7)
    model, image_tokens, pixels = _BUILDERS[name]()
    model = model.eval()
    # A caption never holds an image token: a random model is kept from writing one.
    special = list(range(IMAGE, VOCABULARY))
    model.generation_config.update(
        pad_token_id=0, bos_token_id=1, eos_token_id=None, suppress_tokens=special
    )
    inputs = {**_prompts(image_tokens), **pixels}
    if name in _TYPED:
        inputs[_TYPED[name]] = (inputs["input_ids"] == IMAGE).long()
    return Family(name, model, inputs)


# These models are told where the images are, beside the ids.
_TYPED = {
    "qwen2_vl": "mm_token_type_ids",
    "qwen2_5_vl": "mm_token_type_ids",
    "qwen3_vl": "mm_token_type_ids",
    "glm4v": "mm_token_type_ids",
    "gemma3": "token_type_ids",
    "paligemma": "token_type_ids",
}


def _family(
    builder: Callable[[], tuple[PreTrainedModel, int, dict[str, Tensor]]],
) -> Callable[[], tuple[PreTrainedModel, int, dict[str, Tensor]]]:
    _BUILDERS[builder.__name__.strip("_")] = builder
    return builder


def _prompts(image_tokens: int) -> dict[str, Tensor]:
    """Two prompts: text, image, text; the second is three tokens shorter."""
    text = torch.randint(5, 100, (2, 12))
    images = torch.full((2, image_tokens), IMAGE)
    ids = torch.cat([text[:, :5], images, text[:, 5:]], dim=1)
    mask = torch.ones_like(ids)
    ids[1, :3] = 0
    mask[1, :3] = 0
    return {"input_ids": ids, "attention_mask": mask}


def _pictures(*shape: int) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(2, *shape)}


def _make(model: str, config: str, **options: Any) -> PreTrainedModel:
    made: PreTrainedModel = getattr(transformers, model)(getattr(transformers, config)(**options))
    return made


def _clip() -> transformers.CLIPVisionConfig:
    return transformers.CLIPVisionConfig(**_VISION, projection_dim=16)


def _siglip() -> transformers.SiglipVisionConfig:
    return transformers.SiglipVisionConfig(**_VISION, vision_use_head=False)


@_family
def _llava() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "LlavaForConditionalGeneration",
        "LlavaConfig",
        vision_config=_clip(),
        text_config=transformers.LlamaConfig(**_TEXT),
        image_token_index=IMAGE,
        image_seq_length=16,
    )
    return model, 16, _pictures(3, 24, 24)


@_family
def _llava_next() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "LlavaNextForConditionalGeneration",
        "LlavaNextConfig",
        vision_config=_clip(),
        text_config=transformers.MistralConfig(**_TEXT, sliding_window=None),
        image_token_index=IMAGE,
        image_seq_length=16,
        image_grid_pinpoints=[[24, 24]],
    )
    # One base picture and one tile of 4 x 4 patches, each of whose rows ends in a newline.
    pixels = _pictures(2, 3, 24, 24) | {"image_sizes": torch.tensor([[24, 24]] * 2)}
    return model, 16 + 4 * 5, pixels


@_family
def _llava_onevision() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "LlavaOnevisionForConditionalGeneration",
        "LlavaOnevisionConfig",
        vision_config=_siglip(),
        text_config=transformers.Qwen2Config(**_TEXT),
        image_token_index=IMAGE,
        video_token_index=IMAGE + 1,
        image_grid_pinpoints=[[24, 24]],
    )
    pixels = _pictures(2, 3, 24, 24) | {"image_sizes": torch.tensor([[24, 24]] * 2)}
    return model, 16 + 4 * 5, pixels


def _qwen_pixels(patch: int) -> dict[str, Tensor]:
    """Two pictures of 4 x 8 patches, flattened over two frames."""
    return {
        "pixel_values": torch.randn(2 * 32, 3 * 2 * patch * patch),
        "image_grid_thw": torch.tensor([[1, 4, 8]] * 2),
    }


_QWEN_TOKENS = {
    "image_token_id": IMAGE,
    "video_token_id": IMAGE + 1,
    "vision_start_token_id": IMAGE + 2,
    "vision_end_token_id": IMAGE + 3,
}


@_family
def _qwen2_vl() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "Qwen2VLForConditionalGeneration",
        "Qwen2VLConfig",
        text_config={**_TEXT, "rope_parameters": _MROPE},
        vision_config={
            "depth": 2,
            "embed_dim": 16,
            "hidden_size": 32,
            "num_heads": 2,
            "patch_size": 6,
        },
        **_QWEN_TOKENS,
    )
    return model, 8, _qwen_pixels(6)


@_family
def _qwen2_5_vl() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen2_5_VLConfig",
        text_config={**_TEXT, "rope_parameters": _MROPE},
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 6,
            "window_size": 24,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        **_QWEN_TOKENS,
    )
    return model, 8, _qwen_pixels(6)


@_family
def _qwen3_vl() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "Qwen3VLForConditionalGeneration",
        "Qwen3VLConfig",
        text_config={**_TEXT, "head_dim": 8, "rope_parameters": _MROPE},
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 6,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **_QWEN_TOKENS,
    )
    return model, 8, _qwen_pixels(6)


@_family
def _internvl() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "InternVLForConditionalGeneration",
        "InternVLConfig",
        vision_config={**_VISION, "image_size": [24, 24], "patch_size": [6, 6]},
        text_config=transformers.Qwen2Config(**_TEXT),
        image_token_id=IMAGE,
        image_seq_length=4,
    )
    return model, 4, _pictures(3, 24, 24)


def _idefics_like(name: str) -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        f"{name}ForConditionalGeneration",
        f"{name}Config",
        vision_config=_VISION,
        text_config=transformers.LlamaConfig(**_TEXT),
        image_token_id=IMAGE,
        scale_factor=2,
    )
    return model, 4, _pictures(1, 3, 24, 24)


@_family
def _idefics3() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    return _idefics_like("Idefics3")


@_family
def _smolvlm() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    return _idefics_like("SmolVLM")


@_family
def _gemma3() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    # Every other layer slides over a window shorter than the prompt.
    text = {**_TEXT, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 20}
    text["layer_types"] = ["sliding_attention", "full_attention"] * 2
    model = _make(
        "Gemma3ForConditionalGeneration",
        "Gemma3Config",
        vision_config=_siglip(),
        text_config=transformers.Gemma3TextConfig(**text),
        mm_tokens_per_image=16,
        boi_token_index=IMAGE + 1,
        eoi_token_index=IMAGE + 2,
        image_token_index=IMAGE,
    )
    return model, 16, _pictures(3, 24, 24)


@_family
def _paligemma() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "PaliGemmaForConditionalGeneration",
        "PaliGemmaConfig",
        vision_config=_siglip(),
        text_config=transformers.GemmaConfig(**_TEXT, head_dim=8),
        image_token_index=IMAGE,
        projection_dim=32,
        hidden_size=32,
        vocab_size=VOCABULARY,
    )
    return model, 16, _pictures(3, 24, 24)


@_family
def _mistral3() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "Mistral3ForConditionalGeneration",
        "Mistral3Config",
        vision_config=transformers.PixtralVisionConfig(**_VISION),
        text_config=transformers.MistralConfig(**_TEXT, sliding_window=None),
        image_token_index=IMAGE,
        spatial_merge_size=2,
    )
    return model, 4, _pictures(3, 24, 24) | {"image_sizes": torch.tensor([[24, 24]] * 2)}


@_family
def _aya_vision() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "AyaVisionForConditionalGeneration",
        "AyaVisionConfig",
        vision_config=_siglip(),
        text_config=transformers.Cohere2Config(**_TEXT, sliding_window=20),
        image_token_index=IMAGE,
        downsample_factor=2,
    )
    return model, 4, _pictures(3, 24, 24)


@_family
def _glm4v() -> tuple[PreTrainedModel, int, dict[str, Tensor]]:
    model = _make(
        "Glm4vForConditionalGeneration",
        "Glm4vConfig",
        text_config={**_TEXT, "rope_parameters": {**_MROPE, "partial_rotary_factor": 1.0}},
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "image_size": 24,
            "patch_size": 6,
            "out_hidden_size": 32,
        },
        image_token_id=IMAGE,
        video_token_id=IMAGE + 1,
        image_start_token_id=IMAGE + 2,
        image_end_token_id=IMAGE + 3,
    )
    return model, 8, _qwen_pixels(6)


FAMILIES = tuple(_BUILDERS)
