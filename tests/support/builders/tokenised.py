"""Pictures as tokens of a codebook, or as patches without a tower."""

from __future__ import annotations

import torch
import transformers

from ..parts import IMAGE, TEXT, Builder, Parts, make, pictures, sizes


def chameleon(rows: int) -> Parts:
    """A picture becomes tokens of the vocabulary; the decoder must not write them."""
    codes = {f"IMGIMG{chr(ord('A') + i)}Z": 100 + i for i in range(8)}
    model = make(
        "ChameleonForConditionalGeneration",
        "ChameleonConfig",
        **TEXT,
        vq_config={
            "embed_dim": 8,
            "num_embeddings": 8,
            "latent_channels": 32,
            "resolution": 16,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
        },
        vocabulary_map={"<image>": IMAGE, **codes},
    )
    return Parts(model, 64, pictures(rows, 3, 16, 16))


def emu3(rows: int) -> Parts:
    """As Chameleon, with sizes."""
    codes = {f"<|visual token {i:06d}|>": 100 + i for i in range(8)}
    model = make(
        "Emu3ForConditionalGeneration",
        "Emu3Config",
        text_config={**TEXT, "attention_dropout": 0.0},
        vq_config={
            "codebook_size": 8,
            "embed_dim": 4,
            "latent_channels": 4,
            "temporal_downsample_factor": 1,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
            "hidden_size": 32,
            "attn_resolutions": [],
        },
        vocabulary_map={"<image>": IMAGE, "<|extra_200|>": IMAGE + 1, **codes},
    )
    inputs = pictures(rows, 3, 8, 8) | {"image_sizes": sizes(rows, 8, 8)}
    return Parts(model, 4 * 5, inputs)


def fuyu(rows: int) -> Parts:
    """Patches are projected straight into Persimmon's sequence."""
    text = {name: value for name, value in TEXT.items() if name != "num_key_value_heads"}
    model = make(
        "FuyuForCausalLM",
        "FuyuConfig",
        text_config=transformers.PersimmonConfig(
            **text, rope_parameters={"rope_type": "default", "rope_theta": 1e4}
        ),
        image_size=24,
        patch_size=6,
        image_token_id=IMAGE,
    )
    return Parts(model, 16, {"image_patches": torch.randn(rows, 16, 3 * 36)})


FAMILIES: dict[str, Builder] = {"chameleon": chameleon, "emu3": emu3, "fuyu": fuyu}
