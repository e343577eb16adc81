"""Qwen-VL and those that read pictures as it does: flattened patches and a grid."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from ..parts import (
    IMAGE,
    IMAGE_TOKENS,
    MROPE,
    TEXT,
    VISION_TOKENS,
    Builder,
    Parts,
    make,
    patches,
)

_TYPES = "mm_token_type_ids"
_TOWER: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_heads": 2,
    "patch_size": 6,
    "out_hidden_size": 32,
}
_QWEN3_TOWER = {**_TOWER, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
_LINEAR: dict[str, Any] = {
    "head_dim": 8,
    "rope_parameters": {**MROPE, "partial_rotary_factor": 1.0},
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
_AUDIO: dict[str, Any] = {
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "d_model": 16,
    "num_mel_bins": 8,
    "max_source_positions": 20,
    "output_dim": 32,
}


def qwen2_vl(rows: int) -> Parts:
    """Positions in three dimensions."""
    model = make(
        "Qwen2VLForConditionalGeneration",
        "Qwen2VLConfig",
        text_config={**TEXT, "rope_parameters": MROPE},
        vision_config={
            "depth": 2,
            "embed_dim": 16,
            "hidden_size": 32,
            "num_heads": 2,
            "patch_size": 6,
        },
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def qwen2_5_vl(rows: int) -> Parts:
    """A tower with windows."""
    model = make(
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen2_5_VLConfig",
        text_config={**TEXT, "rope_parameters": MROPE},
        vision_config={**_TOWER, "window_size": 24, "fullatt_block_indexes": [1]},
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def qwen3_vl(rows: int) -> Parts:
    """Features of inner layers of the tower go to inner layers of the decoder."""
    model = make(
        "Qwen3VLForConditionalGeneration",
        "Qwen3VLConfig",
        text_config={**TEXT, "head_dim": 8, "rope_parameters": MROPE},
        vision_config=_QWEN3_TOWER,
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def cosmos3_omni(rows: int) -> Parts:
    """Qwen3-VL's parts."""
    model = make(
        "Cosmos3OmniForConditionalGeneration",
        "Cosmos3OmniConfig",
        text_config={
            **TEXT,
            "head_dim": 8,
            "rope_parameters": MROPE,
            "model_type": "qwen3_vl_text",
        },
        vision_config=dict(_QWEN3_TOWER),
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def qwen3_vl_moe(rows: int) -> Parts:
    """A mixture of experts."""
    model = make(
        "Qwen3VLMoeForConditionalGeneration",
        "Qwen3VLMoeConfig",
        text_config={**TEXT, **_EXPERTS, "head_dim": 8, "rope_parameters": MROPE},
        vision_config=_QWEN3_TOWER,
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def qwen3_5(rows: int) -> Parts:
    """Every other layer is linear attention."""
    model = make(
        "Qwen3_5ForConditionalGeneration",
        "Qwen3_5Config",
        text_config={**TEXT, **_LINEAR},
        vision_config={**_TOWER, "num_position_embeddings": 64},
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def qwen3_5_moe(rows: int) -> Parts:
    """Linear attention and experts."""
    text = {**TEXT, **_LINEAR, **_EXPERTS, "shared_expert_intermediate_size": 16}
    model = make(
        "Qwen3_5MoeForConditionalGeneration",
        "Qwen3_5MoeConfig",
        text_config=text,
        vision_config={**_TOWER, "num_position_embeddings": 64},
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def qwen4_exp(rows: int) -> Parts:
    """Linear attention, experts, hyper-connections."""
    text = {**TEXT, **_LINEAR, **_EXPERTS, "shared_expert_intermediate_size": 16}
    model = make(
        "Qwen4ExpForConditionalGeneration",
        "Qwen4ExpConfig",
        text_config={
            **text,
            "hc_count": 2,
            "hc_lowrank": 8,
            "indexer_n_heads": 2,
            "indexer_kv_heads": 1,
            "indexer_head_dim": 8,
            "indexer_budget": 16,
            "indexer_compress_ratio": 4,
        },
        vision_config={**_TOWER, "num_position_embeddings": 64},
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def qwen2_5_omni(rows: int) -> Parts:
    """The half that thinks, shown pictures."""
    model = make(
        "Qwen2_5OmniThinkerForConditionalGeneration",
        "Qwen2_5OmniThinkerConfig",
        text_config={**TEXT, "rope_parameters": MROPE},
        vision_config={**_TOWER, "window_size": 24, "fullatt_block_indexes": [1]},
        audio_config=_AUDIO,
        image_token_index=IMAGE,
        video_token_index=IMAGE + 1,
        audio_token_index=IMAGE + 2,
        audio_start_token_id=IMAGE + 3,
        audio_end_token_id=IMAGE + 4,
        vision_start_token_id=IMAGE + 5,
    )
    picture = torch.tensor([IMAGE + 5, *[IMAGE] * 8, IMAGE + 6])
    return Parts(model, picture, patches(rows))


def qwen3_omni_moe(rows: int) -> Parts:
    """The half that thinks, shown pictures; experts."""
    model = make(
        "Qwen3OmniMoeThinkerForConditionalGeneration",
        "Qwen3OmniMoeThinkerConfig",
        text_config={**TEXT, **_EXPERTS, "rope_parameters": MROPE},
        vision_config=_QWEN3_TOWER,
        audio_config={**_AUDIO, "downsample_hidden_size": 8},
        audio_token_id=IMAGE + 2,
        audio_start_token_id=IMAGE + 3,
        vision_start_token_id=IMAGE + 5,
        **IMAGE_TOKENS,
    )
    picture = torch.tensor([IMAGE + 5, *[IMAGE] * 8, IMAGE + 6])
    return Parts(model, picture, patches(rows))


def cohere_compass(rows: int) -> Parts:
    """Qwen3-VL's tower, Cohere2's decoder."""
    kinds = ["sliding_attention", "full_attention"]
    rope = dict.fromkeys(kinds, MROPE)
    text = {**TEXT, "rope_parameters": rope, "sliding_window": 20, "layer_types": kinds * 2}
    model = make(
        "CohereCompassForConditionalGeneration",
        "CohereCompassConfig",
        text_config=text,
        vision_config=_QWEN3_TOWER,
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows), _TYPES)


def exaone4_5(rows: int) -> Parts:
    """Qwen2.5-VL's tower, Exaone's decoder, which slides."""
    text = transformers.Exaone4Config(
        **TEXT, sliding_window=20, layer_types=["sliding_attention", "full_attention"] * 2
    )
    model = make(
        "Exaone4_5_ForConditionalGeneration",
        "Exaone4_5_Config",
        text_config=text,
        vision_config={
            **_TOWER,
            "num_key_value_heads": 1,
            "window_size": 24,
            "fullatt_block_indexes": [1],
        },
        **IMAGE_TOKENS,
    )
    return Parts(model, 8, patches(rows))


def hyperclovax(rows: int) -> Parts:
    """Qwen2.5-VL's tower, HyperCLOVA X."""
    model = make(
        "HyperCLOVAXVisionV2ForConditionalGeneration",
        "HyperCLOVAXVisionV2Config",
        text_config={**TEXT, "model_type": "hyperclovax"},
        vision_config={
            **_TOWER,
            "window_size": 24,
            "fullatt_block_indexes": [1],
            "model_type": "qwen2_5_vl_vision",
        },
        **IMAGE_TOKENS,
    )
    return Parts(model, 8, patches(rows))


def cosmos3_edge(rows: int) -> Parts:
    """SigLIP 2's kin under positions in three dimensions."""
    model = make(
        "Cosmos3EdgeForConditionalGeneration",
        "Cosmos3EdgeConfig",
        text_config={**TEXT, "head_dim": 8, "rope_parameters": MROPE},
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 6,
            "num_patches": 64,
        },
        projector_hidden_size=32,
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows, frames=1), _TYPES)


def ernie4_5_vl_moe(rows: int) -> Parts:
    """Experts of two kinds, for text and for pictures."""
    model = make(
        "Ernie4_5_VLMoeForConditionalGeneration",
        "Ernie4_5_VLMoeConfig",
        text_config={
            **TEXT,
            "rope_parameters": {**MROPE, "mrope_section": [1, 1, 2]},
            "moe_intermediate_size": [16, 16],
            "moe_k": 2,
            "moe_num_experts": 4,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 6,
        },
        image_start_token_id=IMAGE + 2,
        image_end_token_id=IMAGE + 3,
        video_start_token_id=IMAGE + 4,
        video_end_token_id=IMAGE + 5,
        **IMAGE_TOKENS,
    )
    return Parts(model, 8, patches(rows, frames=1), "moe_mm_token_type_ids")


def hunyuan_vl(rows: int) -> Parts:
    """Positions in four dimensions."""
    model = make(
        "HunYuanVLForConditionalGeneration",
        "HunYuanVLConfig",
        text_config={
            **TEXT,
            "head_dim": 8,
            "rope_parameters": {**MROPE, "mrope_section": [1, 1, 1, 1]},
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "out_hidden_size": 32,
            "patch_size": 6,
            "max_image_size": 48,
        },
        image_token_id=IMAGE,
        im_start_id=IMAGE + 2,
        im_end_id=IMAGE + 3,
        im_newline_id=IMAGE + 4,
    )
    return Parts(model, 12, patches(rows, frames=1))


def paddleocr_vl(rows: int) -> Parts:
    """A tower that takes one patch a row; Ernie's decoder."""
    model = make(
        "PaddleOCRVLForConditionalGeneration",
        "PaddleOCRVLConfig",
        text_config={**TEXT, "head_dim": 8, "rope_parameters": MROPE},
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 24,
            "patch_size": 6,
        },
        **VISION_TOKENS,
    )
    inputs = patches(rows)
    inputs["pixel_values"] = torch.randn(rows * 32, 3, 6, 6)
    return Parts(model, 8, inputs, _TYPES)


def video_llama_3(rows: int) -> Parts:
    """A tower for any size, Qwen2; shown pictures."""
    model = make(
        "VideoLlama3ForConditionalGeneration",
        "VideoLlama3Config",
        text_config=transformers.Qwen2Config(**TEXT),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 6,
        },
        **IMAGE_TOKENS,
    )
    inputs = patches(rows, frames=1)
    inputs["image_merge_sizes"] = torch.full((rows,), 2)
    return Parts(model, 8, inputs)


FAMILIES: dict[str, Builder] = {
    "cohere_compass": cohere_compass,
    "cosmos3_edge": cosmos3_edge,
    "cosmos3_omni": cosmos3_omni,
    "ernie4_5_vl_moe": ernie4_5_vl_moe,
    "exaone4_5": exaone4_5,
    "hunyuan_vl": hunyuan_vl,
    "hyperclovax_vision_v2": hyperclovax,
    "paddleocr_vl": paddleocr_vl,
    "qwen2_5_omni_thinker": qwen2_5_omni,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen2_vl": qwen2_vl,
    "qwen3_5": qwen3_5,
    "qwen3_5_moe": qwen3_5_moe,
    "qwen3_omni_moe_thinker": qwen3_omni_moe,
    "qwen3_vl": qwen3_vl,
    "qwen3_vl_moe": qwen3_vl_moe,
    "qwen4_exp": qwen4_exp,
    "video_llama_3": video_llama_3,
}
