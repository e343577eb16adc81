"""Idefics: the first reads pictures by cross-attention, the later ones in the sequence."""

from __future__ import annotations

import torch
import transformers
from torch import Tensor

from ..parts import IMAGE, TEXT, VISION, Builder, Parts, make, pictures


def _later(rows: int, name: str) -> Parts:
    model = make(
        f"{name}ForConditionalGeneration",
        f"{name}Config",
        vision_config=VISION,
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_id=IMAGE,
        scale_factor=2,
    )
    return Parts(model, 4, pictures(rows, 1, 3, 24, 24))


def idefics3(rows: int) -> Parts:
    """SigLIP's kin, Llama."""
    return _later(rows, "Idefics3")


def smolvlm(rows: int) -> Parts:
    """Idefics 3's parts."""
    return _later(rows, "SmolVLM")


def idefics2(rows: int) -> Parts:
    """A perceiver between tower and Mistral."""
    model = make(
        "Idefics2ForConditionalGeneration",
        "Idefics2Config",
        vision_config=dict(VISION),
        perceiver_config={
            "hidden_size": 32,
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "resampler_head_dim": 8,
            "num_key_value_heads": 1,
        },
        text_config=transformers.MistralConfig(**TEXT, sliding_window=None),
        image_token_id=IMAGE,
    )
    return Parts(model, 4, pictures(rows, 1, 3, 24, 24))


def idefics(rows: int) -> Parts:
    """Cross-attention between the layers of Llama."""
    model = make(
        "IdeficsForVisionText2Text",
        "IdeficsConfig",
        **{name: value for name, value in TEXT.items() if name != "num_key_value_heads"},
        alpha_initializer="ones",
        cross_layer_interval=2,
        vision_config={
            "embed_dim": 16,
            "image_size": 24,
            "intermediate_size": 32,
            "patch_size": 6,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
        perceiver_config={
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "resampler_head_dim": 8,
        },
    )

    def seen(ids: Tensor) -> dict[str, Tensor]:
        return {"image_attention_mask": torch.ones(*ids.shape, 1, dtype=torch.int64)}

    return Parts(model, 1, pictures(rows, 1, 3, 24, 24), others=seen)


def mllama(rows: int) -> Parts:
    """Cross-attention in some layers of Llama."""
    text = {name: value for name, value in TEXT.items() if name != "max_position_embeddings"}
    model = make(
        "MllamaForConditionalGeneration",
        "MllamaConfig",
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "image_size": 24,
            "patch_size": 6,
            "vision_output_dim": 32,
            "intermediate_layers_indices": [0],
            "max_num_tiles": 1,
            "supported_aspect_ratios": [[1, 1]],
        },
        text_config={**text, "cross_attention_layers": [1]},
        image_token_index=IMAGE,
    )
    inputs = {
        **pictures(rows, 1, 1, 3, 24, 24),
        "aspect_ratio_ids": torch.ones(rows, 1, dtype=torch.int64),
        "aspect_ratio_mask": torch.ones(rows, 1, 1, dtype=torch.int64),
    }

    def seen(ids: Tensor) -> dict[str, Tensor]:
        return {"cross_attention_mask": torch.ones(*ids.shape, 1, 1, dtype=torch.int64)}

    return Parts(model, 1, inputs, others=seen)


FAMILIES: dict[str, Builder] = {
    "idefics": idefics,
    "idefics2": idefics2,
    "idefics3": idefics3,
    "mllama": mllama,
    "smolvlm": smolvlm,
}
