"""Readers of documents: SAM towers, windows, tiles."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from ..parts import (
    IMAGE,
    IMAGE_TOKENS,
    MROPE,
    TEXT,
    VISION,
    Builder,
    Parts,
    clip,
    make,
    pictures,
    siglip,
    sizes,
)

_SAM: dict[str, Any] = {
    "hidden_size": 16,
    "output_channels": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 4,
    "window_size": 4,
    "global_attn_indexes": [1],
    "mlp_dim": 32,
}
_EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
    "mlp_layer_types": ["dense", "sparse"] * 2,
}
_HYBRID: dict[str, Any] = {
    **TEXT,
    "model_type": "qwen3_5_text",
    "head_dim": 8,
    "rope_parameters": {**MROPE, "partial_rotary_factor": 1.0},
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}


def got_ocr2(rows: int) -> Parts:
    """SAM's tower, Qwen2."""
    model = make(
        "GotOcr2ForConditionalGeneration",
        "GotOcr2Config",
        vision_config=_SAM,
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_index=IMAGE,
        image_seq_length=4,
    )
    return Parts(model, 4, pictures(rows, 3, 32, 32))


def deepseek_vl_hybrid(rows: int) -> Parts:
    """SigLIP and SAM's tower, Llama."""
    model = make(
        "DeepseekVLHybridForConditionalGeneration",
        "DeepseekVLHybridConfig",
        vision_config=siglip(),
        high_res_vision_config=transformers.SamVisionConfig(**_SAM),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_id=IMAGE,
    )
    inputs = pictures(rows, 3, 24, 24)
    inputs["high_res_pixel_values"] = torch.randn(rows, 3, 32, 32)
    return Parts(model, 16, inputs)


def deepseek_ocr2(rows: int) -> Parts:
    """SAM's tower under a language model as encoder; experts."""
    model = make(
        "DeepseekOcr2ForConditionalGeneration",
        "DeepseekOcr2Config",
        vision_config={
            "sam_config": {
                **_SAM,
                "image_size": 768,
                "patch_size": 16,
                "downsample_channels": [16, 32],
            },
            "encoder_config": {**TEXT, "num_hidden_layers": 2},
        },
        text_config={**TEXT, **_EXPERTS},
        image_token_id=IMAGE,
    )
    return Parts(model, 145, pictures(rows, 3, 768, 768))


def unlimited_ocr(rows: int) -> Parts:
    """SAM's tower under CLIP's; experts; a window that always holds the prompt."""
    model = make(
        "UnlimitedOcrForConditionalGeneration",
        "UnlimitedOcrConfig",
        vision_config={
            "sam_config": {**_SAM, "downsample_channels": [16, 16]},
            "encoder_config": {**VISION, "image_size": 8, "patch_size": 4},
        },
        text_config={**TEXT, **_EXPERTS, "num_key_value_heads": 4, "sliding_window": 4},
        image_token_id=IMAGE,
    )
    return Parts(model, 7, pictures(rows, 3, 32, 32))


def _minicpm(rows: int, name: str, side: int, tokens: int) -> Parts:
    """Patches of all pictures in one row; a linear-attention hybrid."""
    model = make(
        f"{name}ForConditionalGeneration",
        f"{name}Config",
        vision_config={**VISION, "insert_layer_id": 0},
        text_config=dict(_HYBRID),
        insert_layer_id=0,
        **IMAGE_TOKENS,
    )
    inputs = {
        "pixel_values": torch.randn(1, 3, 6, 6 * rows * side * side),
        "target_sizes": sizes(rows, side, side).int(),
    }
    return Parts(model, tokens, inputs)


def minicpm_ocr(rows: int) -> Parts:
    """MiniCPM for documents."""
    return _minicpm(rows, "MiniCPMOcr", 4, 4)


def minicpmv4_6(rows: int) -> Parts:
    """MiniCPM-V 4.6."""
    return _minicpm(rows, "MiniCPMV4_6", 8, 4)


def minicpmv4_7(rows: int) -> Parts:
    """MiniCPM-V 4.7."""
    return _minicpm(rows, "MiniCPMV4_7", 8, 4)


def granite4_vision(rows: int) -> Parts:
    """CLIP, a Q-Former, LLaVA-NeXT's tiles; features go to inner layers of the decoder."""
    model = make(
        "Granite4VisionForConditionalGeneration",
        "Granite4VisionConfig",
        vision_config=clip(hidden_size=64),
        text_config={**TEXT, "attention_multiplier": 0.35},
        qformer_config={
            "model_type": "blip_2_qformer",
            "num_hidden_layers": 1,
            "intermediate_size": 32,
            "cross_attention_frequency": 1,
            "max_position_embeddings": 64,
            "use_qformer_text_input": False,
        },
        image_token_index=IMAGE,
        image_seq_length=16,
        image_grid_pinpoints=[[24, 24]],
        downsample_rate="2/4",
        deepstack_layer_map=[[-1, 0]],
        spatial_target_layers=[1, 2, 3],
    )
    inputs = pictures(rows, 2, 3, 24, 24) | {"image_sizes": sizes(rows, 24, 24)}
    return Parts(model, 4 + 2 * 3, inputs)


def granite_docling(rows: int) -> Parts:
    """Idefics' kin; features go to inner layers of the decoder."""
    model = make(
        "GraniteDoclingForConditionalGeneration",
        "GraniteDoclingConfig",
        vision_config={
            **VISION,
            "out_hidden_size": 32,
            "scale_factor": 2,
            "deepstack_visual_indexes": [0],
        },
        text_config={**TEXT, "attention_multiplier": 0.35},
        image_token_id=IMAGE,
    )
    inputs = pictures(rows, 1, 3, 24, 24)
    inputs["pixel_attention_mask"] = torch.ones(rows, 1, dtype=torch.bool)
    return Parts(model, 4, inputs)


FAMILIES: dict[str, Builder] = {
    "deepseek_ocr2": deepseek_ocr2,
    "deepseek_vl_hybrid": deepseek_vl_hybrid,
    "got_ocr2": got_ocr2,
    "granite4_vision": granite4_vision,
    "granite_docling": granite_docling,
    "minicpm_ocr": minicpm_ocr,
    "minicpmv4_6": minicpmv4_6,
    "minicpmv4_7": minicpmv4_7,
    "unlimited_ocr": unlimited_ocr,
}
