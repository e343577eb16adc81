"""GLM-4V and its successors."""

from __future__ import annotations

from typing import Any

from ..parts import IMAGE, IMAGE_TOKENS, MROPE, TEXT, Builder, Parts, make, patches

_TYPES = "mm_token_type_ids"
_TOWER: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_heads": 2,
    "image_size": 24,
    "patch_size": 6,
    "out_hidden_size": 32,
}
_TEXT: dict[str, Any] = {
    **TEXT,
    "head_dim": 8,
    "rope_parameters": {**MROPE, "partial_rotary_factor": 1.0},
}
_ENDS = {"image_start_token_id": IMAGE + 2, "image_end_token_id": IMAGE + 3, **IMAGE_TOKENS}
_VIDEO_ENDS = {"video_start_token_id": IMAGE + 4, "video_end_token_id": IMAGE + 5}
_EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}


def glm4v(rows: int) -> Parts:
    """Positions in three dimensions."""
    model = make(
        "Glm4vForConditionalGeneration",
        "Glm4vConfig",
        text_config=_TEXT,
        vision_config=_TOWER,
        **_ENDS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def glm46v(rows: int) -> Parts:
    """GLM-4V's parts."""
    model = make(
        "Glm46VForConditionalGeneration",
        "Glm46VConfig",
        text_config={**_TEXT, "model_type": "glm4v_text"},
        vision_config={**_TOWER, "model_type": "glm4v_vision"},
        **_ENDS,
        **_VIDEO_ENDS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def glm4v_moe(rows: int) -> Parts:
    """A mixture of experts."""
    model = make(
        "Glm4vMoeForConditionalGeneration",
        "Glm4vMoeConfig",
        text_config={**_TEXT, **_EXPERTS},
        vision_config=_TOWER,
        **_ENDS,
        **_VIDEO_ENDS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def glm_ocr(rows: int) -> Parts:
    """GLM-4V's parts, smaller."""
    model = make(
        "GlmOcrForConditionalGeneration",
        "GlmOcrConfig",
        text_config=_TEXT,
        vision_config=_TOWER,
        **_ENDS,
        **_VIDEO_ENDS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def glm5_next(rows: int) -> Parts:
    """Linear attention, and attention to what an indexer picks."""
    model = make(
        "Glm5NextForConditionalGeneration",
        "Glm5NextConfig",
        text_config={
            **{name: value for name, value in TEXT.items() if name != "num_key_value_heads"},
            **_EXPERTS,
            "num_key_value_heads": 4,
            "kv_lora_rank": 16,
            "q_lora_rank": 16,
            "v_head_dim": 8,
            "qk_nope_head_dim": 8,
            "index_topk": 16,
            "index_kpool": 4,
            "index_head_dim": 8,
            "index_n_heads": 2,
            "layer_types": ["linear_attention", "full_attention"] * 2,
            "mlp_layer_types": ["dense", "sparse"] * 2,
            "linear_head_dim": 8,
            "linear_num_heads": 4,
            "hc_mult": 2,
        },
        vision_config={**_TOWER, "projection_intermediate_size": 32},
        **_ENDS,
        **_VIDEO_ENDS,
    )
    return Parts(model, 8, patches(rows))


FAMILIES: dict[str, Builder] = {
    "glm46v": glm46v,
    "glm4v": glm4v,
    "glm4v_moe": glm4v_moe,
    "glm5_next": glm5_next,
    "glm_ocr": glm_ocr,
}
