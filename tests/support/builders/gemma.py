"""Gemma and PaliGemma: image tokens that see each other, layers that slide."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor

from ..parts import IMAGE, TEXT, VISION, VOCABULARY, Builder, Parts, make, pictures, siglip

_KINDS = ["sliding_attention", "full_attention"]
_SLIDING: dict[str, Any] = {
    **TEXT,
    "head_dim": 8,
    "sliding_window": 20,  # shorter than the prompts
    "layer_types": _KINDS * 2,
}
_IMAGE_ENDS: dict[str, Any] = {"boi_token_index": IMAGE + 1, "eoi_token_index": IMAGE + 2}


def gemma3(rows: int) -> Parts:
    """Every other layer slides over a window shorter than the prompt."""
    model = make(
        "Gemma3ForConditionalGeneration",
        "Gemma3Config",
        vision_config=siglip(),
        text_config=transformers.Gemma3TextConfig(**_SLIDING, query_pre_attn_scalar=8),
        mm_tokens_per_image=16,
        image_token_index=IMAGE,
        **_IMAGE_ENDS,
    )
    return Parts(model, 16, pictures(rows, 3, 24, 24), "token_type_ids")


def paligemma(rows: int) -> Parts:
    """A prefix that sees all of itself."""
    model = make(
        "PaliGemmaForConditionalGeneration",
        "PaliGemmaConfig",
        vision_config=siglip(),
        text_config=transformers.GemmaConfig(**TEXT, head_dim=8),
        image_token_index=IMAGE,
        projection_dim=32,
        hidden_size=32,
        vocab_size=VOCABULARY,
    )
    return Parts(model, 16, pictures(rows, 3, 24, 24), "token_type_ids")


_ENDS: dict[str, Any] = {
    "boi_token_id": IMAGE + 1,
    "eoi_token_id": IMAGE + 2,
    "image_token_id": IMAGE,
}
_GEMMA4: dict[str, Any] = {**_SLIDING, "global_head_dim": 16}


def _placed(rows: int, pixels: int) -> dict[str, Tensor]:
    """Flattened patches, 4 x 4 of them, and where each lies."""
    places = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    return {
        "pixel_values": torch.rand(rows, 16, pixels),
        "image_position_ids": places.expand(rows, -1, -1).clone(),
    }


def gemma3n(rows: int) -> Parts:
    """Layers that share keys with earlier ones. The tower is timm's; SigLIP stands in."""
    config = transformers.Gemma3nConfig(
        text_config={
            **_SLIDING,
            "vocab_size_per_layer_input": VOCABULARY,
            "hidden_size_per_layer_input": 8,
            "altup_num_inputs": 2,
            "num_kv_shared_layers": 2,
            "laurel_rank": 4,
        },
        audio_config={
            "vocab_size": 1,
            "vocab_offset": IMAGE + 9,
            "input_feat_size": 8,
            "hidden_size": 16,
            "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 1,
            "sscp_conv_channel_size": [4, 4],
        },
        vision_soft_tokens_per_image=16,
        audio_token_id=IMAGE + 4,
        **_ENDS,
    )
    tower = siglip(vocab_size=4, vocab_offset=IMAGE + 5, rms_norm_eps=1e-6)
    vars(config)["vision_config"] = tower  # its type is checked where it is set
    model = transformers.Gemma3nForConditionalGeneration(config)
    pixels = pictures(rows, 3, 24, 24)
    return Parts(model, 16, pixels, "token_type_ids", note="with another tower in place of timm's")


def gemma4(rows: int) -> Parts:
    """Layers that share keys with earlier ones, embeddings for each layer."""
    model = make(
        "Gemma4ForConditionalGeneration",
        "Gemma4Config",
        vision_config={
            **VISION,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "pooling_kernel_size": 2,
            "position_embedding_size": 16,
        },
        text_config={
            **_GEMMA4,
            "vocab_size_per_layer_input": VOCABULARY,
            "hidden_size_per_layer_input": 8,
            "num_kv_shared_layers": 2,
        },
        audio_config=None,
        video_token_id=IMAGE + 3,
        audio_token_id=IMAGE + 4,
        **_ENDS,
    )
    return Parts(model, 4, _placed(rows, 3 * 36), "mm_token_type_ids")


def gemma4_unified(rows: int) -> Parts:
    """No tower: patches are projected straight into the sequence."""
    model = make(
        "Gemma4UnifiedForConditionalGeneration",
        "Gemma4UnifiedConfig",
        vision_config={
            "patch_size": 6,
            "pooling_kernel_size": 2,
            "mm_embed_dim": 16,
            "mm_posemb_size": 16,
            "output_proj_dims": 16,
        },
        text_config=dict(_GEMMA4),
        audio_config=None,
        video_token_id=IMAGE + 3,
        audio_token_id=IMAGE + 4,
        **_ENDS,
    )
    return Parts(model, 16, _placed(rows, 3 * 144), "mm_token_type_ids")


def diffusion_gemma(rows: int) -> Parts:
    """Text is written by denoising whole blocks, not token by token."""
    model = make(
        "DiffusionGemmaForBlockDiffusion",
        "DiffusionGemmaConfig",
        vision_config={
            **VISION,
            "model_type": "gemma4_vision",
            "num_key_value_heads": 2,
            "head_dim": 8,
            "pooling_kernel_size": 2,
            "position_embedding_size": 16,
        },
        text_config={
            **_GEMMA4,
            "num_experts": 4,
            "top_k_experts": 2,
            "moe_intermediate_size": 16,
        },
        canvas_length=8,
        **_ENDS,
    )
    return Parts(model, 4, _placed(rows, 3 * 36), "mm_token_type_ids")


def t5gemma2(rows: int) -> Parts:
    """An encoder reads picture and prompt; the decoder's attention covers both sides."""
    text = {**_SLIDING, "query_pre_attn_scalar": 8}
    model = make(
        "T5Gemma2ForConditionalGeneration",
        "T5Gemma2Config",
        encoder={
            "text_config": text,
            "vision_config": siglip(),
            "mm_tokens_per_image": 16,
            **_IMAGE_ENDS,
        },
        decoder=dict(text),
        image_token_index=IMAGE,
    )
    return Parts(model, 16, pictures(rows, 3, 24, 24))


FAMILIES: dict[str, Builder] = {
    "diffusion_gemma": diffusion_gemma,
    "gemma3": gemma3,
    "gemma3n": gemma3n,
    "gemma4": gemma4,
    "gemma4_unified": gemma4_unified,
    "paligemma": paligemma,
    "t5gemma2": t5gemma2,
}
