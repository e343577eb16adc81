"""LLaVA and those built like it: a vision tower, a projector, a language model of any kind."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import transformers

from ..parts import IMAGE, ROPE, TEXT, VISION, Builder, Parts, clip, make, pictures, siglip, sizes


def llava(rows: int) -> Parts:
    """CLIP, Llama."""
    model = make(
        "LlavaForConditionalGeneration",
        "LlavaConfig",
        vision_config=clip(),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        image_seq_length=16,
    )
    return Parts(model, 16, pictures(rows, 3, 24, 24))


def llava_next(rows: int) -> Parts:
    """CLIP, Mistral: one base picture and one tile of 4 x 4 patches, each row with a newline."""
    model = make(
        "LlavaNextForConditionalGeneration",
        "LlavaNextConfig",
        vision_config=clip(),
        text_config=transformers.MistralConfig(**TEXT, sliding_window=None),
        image_token_index=IMAGE,
        image_seq_length=16,
        image_grid_pinpoints=[[24, 24]],
    )
    pixels = pictures(rows, 2, 3, 24, 24) | {"image_sizes": sizes(rows, 24, 24)}
    return Parts(model, 16 + 4 * 5, pixels)


def llava_next_video(rows: int) -> Parts:
    """As LLaVA-NeXT, shown pictures."""
    model = make(
        "LlavaNextVideoForConditionalGeneration",
        "LlavaNextVideoConfig",
        vision_config=clip(),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        video_token_index=IMAGE + 1,
        image_seq_length=16,
        image_grid_pinpoints=[[24, 24]],
    )
    pixels = pictures(rows, 2, 3, 24, 24) | {"image_sizes": sizes(rows, 24, 24)}
    return Parts(model, 16 + 4 * 5, pixels)


def llava_onevision(rows: int) -> Parts:
    """SigLIP, Qwen2."""
    model = make(
        "LlavaOnevisionForConditionalGeneration",
        "LlavaOnevisionConfig",
        vision_config=siglip(),
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_index=IMAGE,
        video_token_index=IMAGE + 1,
        image_grid_pinpoints=[[24, 24]],
    )
    pixels = pictures(rows, 2, 3, 24, 24) | {"image_sizes": sizes(rows, 24, 24)}
    return Parts(model, 16 + 4 * 5, pixels)


def vipllava(rows: int) -> Parts:
    """CLIP, Llama; features of several layers."""
    model = make(
        "VipLlavaForConditionalGeneration",
        "VipLlavaConfig",
        vision_config=clip(),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        image_seq_length=16,
        vision_feature_layers=[0, 1],
    )
    return Parts(model, 16, pictures(rows, 3, 24, 24))


def video_llava(rows: int) -> Parts:
    """Two CLIP towers, Llama; shown pictures."""
    model = make(
        "VideoLlavaForConditionalGeneration",
        "VideoLlavaConfig",
        vision_config=clip(),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        video_token_index=IMAGE + 1,
        image_seq_length=16,
        video_seq_length=16,
    )
    return Parts(model, 16, {"pixel_values_images": torch.randn(rows, 3, 24, 24)})


def aria(rows: int) -> Parts:
    """Idefics 3's tower, a mixture of experts."""
    model = make(
        "AriaForConditionalGeneration",
        "AriaConfig",
        vision_config=transformers.Idefics3VisionConfig(**VISION),
        text_config=transformers.AriaTextConfig(**TEXT, moe_num_experts=4),
        projector_patch_to_query_dict={16: 4},
        image_token_index=IMAGE,
    )
    return Parts(model, 4, pictures(rows, 3, 24, 24))


def aya_vision(rows: int) -> Parts:
    """SigLIP, Cohere2, whose layers mostly slide."""
    model = make(
        "AyaVisionForConditionalGeneration",
        "AyaVisionConfig",
        vision_config=siglip(),
        text_config=transformers.Cohere2Config(**TEXT, sliding_window=20),
        image_token_index=IMAGE,
        downsample_factor=2,
    )
    return Parts(model, 4, pictures(rows, 3, 24, 24))


def cohere2_vision(rows: int) -> Parts:
    """SigLIP, Cohere2."""
    model = make(
        "Cohere2VisionForConditionalGeneration",
        "Cohere2VisionConfig",
        vision_config=siglip(),
        text_config=transformers.Cohere2Config(**TEXT, sliding_window=20),
        image_token_id=IMAGE,
        downsample_factor=2,
        alignment_intermediate_size=32,
    )
    return Parts(model, 4, pictures(rows, 3, 24, 24))


def mistral3(rows: int) -> Parts:
    """Pixtral's tower, Mistral."""
    model = make(
        "Mistral3ForConditionalGeneration",
        "Mistral3Config",
        vision_config=transformers.PixtralVisionConfig(**VISION),
        text_config=transformers.MistralConfig(**TEXT, sliding_window=None),
        image_token_index=IMAGE,
        spatial_merge_size=2,
    )
    pixels = pictures(rows, 3, 24, 24) | {"image_sizes": sizes(rows, 24, 24)}
    return Parts(model, 4, pixels)


def lighton_ocr(rows: int) -> Parts:
    """Pixtral's tower, Qwen3."""
    model = make(
        "LightOnOcrForConditionalGeneration",
        "LightOnOcrConfig",
        vision_config=transformers.PixtralVisionConfig(**VISION),
        text_config=transformers.Qwen3Config(**TEXT, head_dim=8),
        image_token_id=IMAGE,
        spatial_merge_size=2,
    )
    pixels = pictures(rows, 3, 24, 24) | {"image_sizes": sizes(rows, 24, 24)}
    return Parts(model, 4, pixels)


def deepseek_vl(rows: int) -> Parts:
    """SigLIP, Llama."""
    model = make(
        "DeepseekVLForConditionalGeneration",
        "DeepseekVLConfig",
        vision_config=siglip(),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_id=IMAGE,
    )
    return Parts(model, 16, pictures(rows, 3, 24, 24))


def internvl(rows: int) -> Parts:
    """InternViT, Qwen2."""
    model = make(
        "InternVLForConditionalGeneration",
        "InternVLConfig",
        vision_config={**VISION, "image_size": [24, 24], "patch_size": [6, 6]},
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_id=IMAGE,
        image_seq_length=4,
    )
    return Parts(model, 4, pictures(rows, 3, 24, 24))


def qianfan_ocr(rows: int) -> Parts:
    """InternViT's kin, Qwen3."""
    model = make(
        "QianfanOCRForConditionalGeneration",
        "QianfanOCRConfig",
        vision_config={**VISION, "image_size": [24, 24], "patch_size": [6, 6]},
        text_config=transformers.Qwen3Config(**TEXT, head_dim=8),
        image_token_id=IMAGE,
        image_seq_length=4,
    )
    return Parts(model, 4, pictures(rows, 3, 24, 24))


def lfm2_vl(rows: int) -> Parts:
    """SigLIP 2, a language model whose layers are convolutions but for two."""
    vision = {name: value for name, value in VISION.items() if name != "image_size"}
    kinds = ["conv", "full_attention"] * 2
    model = make(
        "Lfm2VlForConditionalGeneration",
        "Lfm2VlConfig",
        vision_config=transformers.Siglip2VisionConfig(**vision, num_patches=16),
        text_config=transformers.Lfm2Config(**TEXT, layer_types=kinds),
        image_token_id=IMAGE,
        projector_hidden_size=32,
        downsample_factor=2,
    )
    inputs = {
        "pixel_values": torch.randn(rows, 16, 3 * 36),
        "spatial_shapes": sizes(rows, 4, 4),
        "pixel_attention_mask": torch.ones(rows, 16, dtype=torch.int64),
    }
    return Parts(model, 4, inputs)


def llama4(rows: int) -> Parts:
    """A mixture of experts with chunked attention."""
    model = make(
        "Llama4ForConditionalGeneration",
        "Llama4Config",
        vision_config={
            **VISION,
            "intermediate_size": 64,
            "pixel_shuffle_ratio": 0.5,
            "vision_output_dim": 32,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
            "rope_parameters": ROPE,
        },
        text_config={
            **TEXT,
            "head_dim": 8,
            "intermediate_size_mlp": 48,
            "num_local_experts": 4,
            "attention_chunk_size": 24,
            "no_rope_layer_interval": 2,
        },
        image_token_index=IMAGE,
        boi_token_index=IMAGE + 1,
        eoi_token_index=IMAGE + 2,
    )
    return Parts(model, 4, pictures(rows, 3, 24, 24))


def ovis2(rows: int) -> Parts:
    """A tower with a visual vocabulary, Qwen2."""
    model = make(
        "Ovis2ForConditionalGeneration",
        "Ovis2Config",
        vision_config={**VISION, "vocab_size": 24, "hidden_stride": 2},
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_id=IMAGE,
        visual_indicator_token_ids=list(range(IMAGE + 1, IMAGE + 6)),
        vocab_size=TEXT["vocab_size"],
        hidden_size=TEXT["hidden_size"],
    )
    return Parts(model, 4, pictures(rows, 3, 24, 24))


def janus(rows: int) -> Parts:
    """SigLIP's kin, Llama; a second, generating half that text does not use."""
    model = make(
        "JanusForConditionalGeneration",
        "JanusConfig",
        vision_config={**VISION, "projection_dim": 32, "num_image_tokens": 16},
        vq_config={
            "embed_dim": 8,
            "num_embeddings": 16,
            "latent_channels": 32,
            "base_channels": 32,
            "channel_multiplier": [1],
            "num_res_blocks": 1,
            "projection_dim": 32,
            "image_token_embed_dim": 32,
        },
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_id=IMAGE,
    )
    # Its own generate drops logits processors; for text it calls this one.
    mixin: Any = transformers.GenerationMixin
    model.generate = MethodType(mixin.generate, model)
    note = "with `model.generate = MethodType(GenerationMixin.generate, model)`"
    return Parts(model, 16, pictures(rows, 3, 24, 24), note=note)


def fast_vlm(rows: int) -> Parts:
    """Qwen2. The tower is timm's; SigLIP stands in, whose 16 x 16 features pass for its map."""
    model = make(
        "FastVlmForConditionalGeneration",
        "FastVlmConfig",
        vision_config=siglip(),
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_index=IMAGE,
        image_seq_length=16,
    )
    return Parts(model, 16, pictures(rows, 3, 24, 24), note=_TIMM)


def perception_lm(rows: int) -> Parts:
    """Llama. The tower is timm's; CLIP stands in."""
    model = make(
        "PerceptionLMForConditionalGeneration",
        "PerceptionLMConfig",
        vision_config=clip(model_args={"embed_dim": VISION["hidden_size"]}),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_id=IMAGE,
        video_token_id=IMAGE + 1,
    )
    return Parts(model, 16, pictures(rows, 1, 3, 24, 24), note=_TIMM)


_TIMM = "with another tower in place of timm's"

FAMILIES: dict[str, Builder] = {
    "aria": aria,
    "aya_vision": aya_vision,
    "cohere2_vision": cohere2_vision,
    "deepseek_vl": deepseek_vl,
    "fast_vlm": fast_vlm,
    "internvl": internvl,
    "janus": janus,
    "lfm2_vl": lfm2_vl,
    "lighton_ocr": lighton_ocr,
    "llama4": llama4,
    "llava": llava,
    "llava_next": llava_next,
    "llava_next_video": llava_next_video,
    "llava_onevision": llava_onevision,
    "mistral3": mistral3,
    "ovis2": ovis2,
    "perception_lm": perception_lm,
    "qianfan_ocr": qianfan_ocr,
    "video_llava": video_llava,
    "vipllava": vipllava,
}
