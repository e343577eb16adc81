"""Recent decoders under any tower: experts, latent, indexed, linear and sliding attention."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from ..parts import (
    IMAGE,
    IMAGE_TOKENS,
    TEXT,
    VISION,
    VISION_TOKENS,
    Builder,
    Parts,
    make,
    patches,
    pictures,
    sizes,
)

_EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
}
_LATENT: dict[str, Any] = {
    **TEXT,
    **_EXPERTS,
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_SLIDING = ["sliding_attention", "full_attention"] * 2
_TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 6,
}


def kimi_k25(rows: int) -> Parts:
    """DeepSeek-V3's latent attention."""
    model = make(
        "Kimi_K25ForConditionalGeneration",
        "Kimi_K25Config",
        text_config=transformers.DeepseekV3Config(**_LATENT, first_k_dense_replace=1),
        vision_config={**_TOWER, "pos_emb_height": 8, "pos_emb_width": 8},
        projection_hidden_size=16,
        **VISION_TOKENS,
    )
    inputs = patches(rows)
    inputs["pixel_values"] = torch.randn(rows * 32, 3, 6, 6)
    return Parts(model, 8, inputs)


def mistral4(rows: int) -> Parts:
    """Mistral 3's tower on Mistral 4's latent attention."""
    rope = {**_YARN, "llama_4_scaling_beta": 0.1}
    text = transformers.Mistral4Config(**_LATENT, rope_parameters=rope)
    model = make(
        "Mistral3ForConditionalGeneration",
        "Mistral3Config",
        vision_config=transformers.PixtralVisionConfig(**VISION),
        text_config=text,
        image_token_index=IMAGE,
        spatial_merge_size=2,
    )
    pixels = pictures(rows, 3, 24, 24) | {"image_sizes": sizes(rows, 24, 24)}
    return Parts(model, 4, pixels)


_YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}


def mistral_large4(rows: int) -> Parts:
    """Latent attention to what an indexer picks."""
    text = {name: value for name, value in _LATENT.items() if name != "q_lora_rank"}
    model = make(
        "MistralLarge4ForConditionalGeneration",
        "MistralLarge4Config",
        vision_config=transformers.PixtralVisionConfig(**VISION),
        text_config={
            **text,
            "index_topk": 16,
            "index_head_dim": 8,
            "index_n_heads": 2,
            "rope_parameters": {**_YARN, "attention_factor": 1.0},
        },
        image_token_index=IMAGE,
        spatial_merge_size=2,
    )
    pixels = pictures(rows, 3, 24, 24) | {"image_sizes": sizes(rows, 24, 24)}
    return Parts(model, 4, pixels)


def minimax_m3_vl(rows: int) -> Parts:
    """Every other layer attends to blocks that an indexer picks."""
    model = make(
        "MiniMaxM3SparseForConditionalGeneration",
        "MiniMaxM3VLConfig",
        text_config={
            **TEXT,
            "head_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "dense_intermediate_size": 32,
            "shared_intermediate_size": 16,
            "rotary_dim": 4,
            "index_n_heads": 2,
            "index_head_dim": 8,
            "index_block_size": 4,
            "index_topk_blocks": 4,
            "layer_types": ["full_attention", "minimax_m3_sparse"] * 2,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.5,
            },
        },
        vision_config={**_TOWER, "hidden_size": 32, "image_size": 48},
        image_token_index=IMAGE,
        video_token_index=IMAGE + 1,
        projector_hidden_size=32,
    )
    return Parts(model, 8, patches(rows))


def dots3_note(rows: int) -> Parts:
    """Latent attention, indexed in some layers, sliding in others."""
    model = make(
        "Dots3NoteForConditionalGeneration",
        "Dots3NoteConfig",
        text_config={
            **_LATENT,
            "head_dim": 16,
            "shared_experts_intermediate_size": 16,
            "index_topk": 16,
            "index_head_dim": 8,
            "index_n_heads": 2,
            "sliding_window": 20,
            "layer_types": ["full_attention", "sliding_attention"] * 2,
            "swa_num_attention_heads": 4,
            "swa_num_key_value_heads": 4,
            "swa_q_lora_rank": 16,
            "swa_kv_lora_rank": 16,
            "swa_head_dim": 16,
            "swa_qk_nope_head_dim": 8,
            "swa_v_head_dim": 8,
        },
        vision_config={
            **_TOWER,
            "moe_intermediate_size": 16,
            "mlp_layer_types": ["dense", "sparse"],
            "num_local_experts": 4,
            "adapter_in_dim": 16,
            "adapter_out_dim": 32,
        },
        audio_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "feature_size": 8,
            "downsample_hidden_size": 8,
            "adapter_input_size": 16,
            "adapter_out_dim": 32,
        },
        audio_token_id=IMAGE + 2,
        **IMAGE_TOKENS,
    )
    return Parts(model, 8, patches(rows, frames=1))


_INKLING: dict[str, Any] = {
    "vocab_size": TEXT["vocab_size"],
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2,
    "swa_head_dim": 8,
    "sliding_window_size": 20,
    "d_rel": 4,
    "rel_extent": 32,
    "layer_types": ["hybrid_sliding", "hybrid"] * 2,
    "max_position_embeddings": 256,
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def inkling(rows: int) -> Parts:
    """Convolutions beside attention, relative positions."""
    model = make(
        "InklingForConditionalGeneration",
        "InklingConfig",
        text_config={**_INKLING, "intermediate_size": 32, "n_shared_experts": 1},
        vision_config={
            "patch_size": 4,
            "hidden_size": 16,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "text_hidden_size": 32,
        },
        audio_config={"n_mel_bins": 4, "mel_vocab_size": 8, "text_hidden_size": 32},
        image_token_id=IMAGE,
        audio_token_id=IMAGE + 1,
        image_bos_token_id=IMAGE + 2,
        audio_bos_token_id=IMAGE + 3,
    )
    return Parts(model, 4, {"pixel_values": torch.randn(rows * 4, 2, 4, 4, 3)})


def inkling2(rows: int) -> Parts:
    """Inkling under a tower of its own."""
    model = make(
        "Inkling2ForConditionalGeneration",
        "Inkling2Config",
        text_config={**_INKLING, "unpadded_vocab_size": 120, "n_layers_per_attn_res_block": 2},
        vision_config={
            **_TOWER,
            "posemb_grid_size": 8,
            "projection_hidden_dim": 32,
            "text_hidden_size": 32,
        },
        image_token_id=IMAGE,
    )
    inputs = {
        "pixel_values": torch.randn(rows * 8, 12, 12, 3),
        "image_grid_thw": sizes(rows, 1, 2, 4),
    }
    return Parts(model, 8, inputs)


def lfm3_vl(rows: int) -> Parts:
    """Convolutions, sliding and full attention."""
    kinds = ["conv", "full_attention", "sliding_attention", "full_attention"]
    model = make(
        "Lfm3VlForConditionalGeneration",
        "Lfm3VlConfig",
        vision_config={
            **_TOWER,
            "num_key_value_heads": 1,
            "layer_types": ["conv", "full_attention"],
        },
        text_config=transformers.Lfm3Config(
            **TEXT, head_dim=8, layer_types=kinds, sliding_window=20
        ),
        projector_hidden_size=32,
        **VISION_TOKENS,
    )
    return Parts(model, 8, patches(rows))


def nemotron_h_omni(rows: int) -> Parts:
    """Mamba, experts and a few layers of attention."""
    text = {name: value for name, value in TEXT.items() if name != "num_hidden_layers"}
    model = make(
        "NemotronH_Omni_Reasoning_V3",
        "NemotronH_Omni_Reasoning_V3_Config",
        text_config=transformers.NemotronHConfig(
            **text,
            head_dim=8,
            layers_block_type=["linear_attention", "full_attention", "moe", "full_attention"],
            ssm_state_size=8,
            mamba_num_heads=4,
            mamba_head_dim=8,
            n_groups=2,
            chunk_size=8,
            n_routed_experts=4,
            moe_intermediate_size=16,
            moe_shared_expert_intermediate_size=16,
            use_mamba_kernels=False,
        ),
        vision_config={
            "model_type": "radio",
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 6,
            "image_size": 24,
            "max_img_size": 48,
            "video_temporal_patch_size": 2,
        },
        audio_config=None,
        projector_hidden_size=32,
        vision_hidden_size=16,
        **IMAGE_TOKENS,
    )
    inputs = {"pixel_values": torch.randn(rows * 32, 3 * 36), "image_grid_hw": sizes(rows, 4, 8)}
    return Parts(model, 8, inputs)


def _muse(rows: int, name: str, **options: Any) -> Parts:
    extra = options.pop("text", {})
    model = make(
        f"{name}ForConditionalGeneration",
        f"{name}Config",
        text_config={
            **TEXT,
            "head_dim": 8,
            "sliding_window": 20,
            "layer_types": _SLIDING,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            **extra,
        },
        vision_config={**_TOWER, "pos_emb_height": 8, "pos_emb_width": 8},
        out_hidden_size=64,
        projector_hidden_size=32,
        **IMAGE_TOKENS,
        **options,
    )
    return Parts(model, 8, patches(rows))


def muse_glimmer(rows: int) -> Parts:
    """Layers that slide; half of them without positions."""
    return _muse(rows, "MuseGlimmer")


def muse_spark(rows: int) -> Parts:
    """Muse Glimmer with experts."""
    return _muse(
        rows,
        "MuseSpark",
        text={
            "initializer_range": 0.1,  # at .2 it blows rounding up to 1e-5
            "moe_intermediate_size": 16,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "moe_hidden_size": 16,
        },
        audio_config={
            "patch_sizes": [4, 2],
            "hidden_sizes": [8, 16],
            "depths": [1, 1],
            "num_hidden_layers": 2,
            "out_hidden_size": 32,
        },
        audio_token_id=IMAGE + 2,
    )


def step3p7(rows: int) -> Parts:
    """Layers that slide, gates on heads, experts."""
    model = make(
        "Step3p7ForConditionalGeneration",
        "Step3p7Config",
        text_config={
            **TEXT,
            "head_dim": 8,
            "layer_types": _SLIDING,
            "mlp_layer_types": ["dense", "sparse"] * 2,
            "sliding_window": 20,
            "n_routed_experts": 4,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "share_expert_dim": 16,
        },
        vision_config={**VISION, "image_size": 48, "max_position_embeddings": 64, "mlp_ratio": 2.0},
        image_token_id=IMAGE,
    )
    return Parts(model, 4, pictures(rows, 3, 48, 48))


def molmo2(rows: int) -> Parts:
    """Pooled patches of chosen tower layers are added to the placeholders' embeddings."""
    text = {name: value for name, value in TEXT.items() if name != "vocab_size"}
    model = make(
        "Molmo2ForConditionalGeneration",
        "Molmo2Config",
        text_config={**text, "vocab_size": 100, "additional_vocab_size": 20, "head_dim": 8},
        vision_config={
            **_TOWER,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "image_size": [24, 24],
        },
        adapter_config={
            "vision_feature_layer": [1, 0],
            "hidden_size": 16,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "intermediate_size": 32,
            "text_hidden_size": 32,
        },
        image_patch_id=IMAGE,
        image_start_token_id=IMAGE + 1,
        image_end_token_id=IMAGE + 2,
        low_res_image_start_token_id=IMAGE + 3,
        frame_start_token_id=IMAGE + 4,
        frame_end_token_id=IMAGE + 5,
    )
    pooled = torch.arange(16).view(4, 4)
    inputs = {
        "pixel_values": torch.randn(rows, 16, 3 * 36),
        "image_token_pooling": torch.cat([pooled + 16 * row for row in range(rows)]),
        "image_grids": sizes(rows, 2, 2, 0, 0),
        "image_num_crops": torch.ones(rows, dtype=torch.int64),
    }
    return Parts(model, 4, inputs, "mm_token_type_ids")


FAMILIES: dict[str, Builder] = {
    "dots3_note": dots3_note,
    "inkling2": inkling2,
    "inkling_mm_model": inkling,
    "kimi_k25": kimi_k25,
    "lfm3_vl": lfm3_vl,
    "minimax_m3_vl": minimax_m3_vl,
    "mistral4": mistral4,
    "mistral_large4": mistral_large4,
    "molmo2": molmo2,
    "muse_glimmer": muse_glimmer,
    "muse_spark": muse_spark,
    "nemotron_h_omni": nemotron_h_omni,
    "step3p7": step3p7,
}
