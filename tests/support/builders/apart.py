"""Models built otherwise: an encoder, an inner ``generate``, pictures outside the ids."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor

from ..parts import IMAGE, TEXT, VISION, VOCABULARY, Builder, Parts, make, pictures

_QFORMER: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_BERT: dict[str, Any] = {
    **{name: value for name, value in TEXT.items() if name != "num_key_value_heads"},
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def _opt() -> transformers.OPTConfig:
    return transformers.OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        word_embed_proj_dim=32,
        max_position_embeddings=256,
        init_std=0.2,
        dropout=0.0,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def blip(rows: int) -> Parts:
    """The decoder sees the picture by cross-attention."""
    text = {name: value for name, value in _BERT.items() if name != "initializer_range"}
    model = make(
        "BlipForConditionalGeneration",
        "BlipConfig",
        text_config={**text, "encoder_hidden_size": 16, "projection_dim": 16, "sep_token_id": 2},
        vision_config={**VISION, "projection_dim": 16},
    )
    return Parts(model, 0, pictures(rows, 3, 24, 24))


def blip_2(rows: int) -> Parts:
    """``generate`` embeds picture and prompt and calls that of OPT."""
    model = make(
        "Blip2ForConditionalGeneration",
        "Blip2Config",
        vision_config=VISION,
        qformer_config=_QFORMER,
        text_config=_opt(),
        num_query_tokens=4,
        image_token_index=IMAGE,
    )
    return Parts(model, 4, pictures(rows, 3, 24, 24))


def instructblip(rows: int) -> Parts:
    """BLIP-2 whose Q-Former reads the prompt too."""
    model = make(
        "InstructBlipForConditionalGeneration",
        "InstructBlipConfig",
        vision_config=VISION,
        qformer_config=_QFORMER,
        text_config=_opt(),
        num_query_tokens=4,
        image_token_index=IMAGE,
    )

    def prompt(ids: Tensor) -> dict[str, Tensor]:
        return {
            "qformer_input_ids": ids[:, -6:],
            "qformer_attention_mask": torch.ones_like(ids[:, -6:]),
        }

    return Parts(model, 4, pictures(rows, 3, 24, 24), others=_asked)


def instructblipvideo(rows: int) -> Parts:
    """InstructBLIP, shown films of two frames."""
    model = make(
        "InstructBlipVideoForConditionalGeneration",
        "InstructBlipVideoConfig",
        vision_config=VISION,
        qformer_config=_QFORMER,
        text_config=_opt(),
        num_query_tokens=4,
        video_token_index=IMAGE,
    )

    def prompt(ids: Tensor) -> dict[str, Tensor]:
        return {
            "qformer_input_ids": ids[:, -6:],
            "qformer_attention_mask": torch.ones_like(ids[:, -6:]),
        }

    return Parts(model, 8, pictures(rows, 2, 3, 24, 24), others=_asked)


def _asked(ids: Tensor) -> dict[str, Tensor]:
    text = ids[:, -6:]
    return {"qformer_input_ids": text, "qformer_attention_mask": torch.ones_like(text)}


def git(rows: int) -> Parts:
    """The picture stands before the text in the keys, and nowhere in the ids."""
    model = make("GitForCausalLM", "GitConfig", **_BERT, vision_config=VISION)
    return Parts(model, 0, pictures(rows, 3, 24, 24))


def kosmos_2(rows: int) -> Parts:
    """``generate`` embeds the picture and calls that of the text model."""
    model = make(
        "Kosmos2ForConditionalGeneration",
        "Kosmos2Config",
        text_config=_kosmos(),
        vision_config=VISION,
        latent_query_num=4,
    )
    return Parts(model, 4, pictures(rows, 3, 24, 24), others=_placed)


def kosmos_2_5(rows: int) -> Parts:
    """The picture's places are a mask beside the ids."""
    model = make(
        "Kosmos2_5ForConditionalGeneration",
        "Kosmos2_5Config",
        text_config=_kosmos(),
        vision_config={
            "hidden_size": 16,
            "patch_embed_hidden_size": 108,
            "intermediate_size": 32,
            "head_dim": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_num_patches": 16,
        },
        latent_query_num=4,
    )
    places = torch.cartesian_prod(torch.arange(1, 5), torch.arange(1, 5)).float()
    seen = torch.cat([places.expand(rows, -1, -1), torch.randn(rows, 16, 108)], dim=2)
    return Parts(
        model,
        4,
        {"flattened_patches": seen},
        others=_placed,
        overrides={"image_token_id": IMAGE},
        note="with `image_token_id=`",
    )


def _kosmos() -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 256,
        "embed_dim": 32,
        "layers": 4,
        "ffn_dim": 48,
        "attention_heads": 4,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "init_std": 0.2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _placed(ids: Tensor) -> dict[str, Tensor]:
    return {"image_embeds_position_mask": (ids == IMAGE).long()}


_T5: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "dropout_rate": 0.0,
    "pad_token_id": 0,
    "eos_token_id": 2,
}


def florence2(rows: int) -> Parts:
    """BART's encoder reads picture and prompt."""
    bart = transformers.BartConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=128,
        encoder_layers=2,
        encoder_ffn_dim=32,
        encoder_attention_heads=4,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=4,
        d_model=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    model = make(
        "Florence2ForConditionalGeneration",
        "Florence2Config",
        text_config=bart,
        vision_config={
            "depths": [1],
            "patch_size": [7],
            "patch_stride": [4],
            "patch_padding": [3],
            "patch_prenorm": [False],
            "embed_dim": [16],
            "num_heads": [2],
            "num_groups": [2],
            "window_size": 4,
            "projection_dim": 32,
            "drop_path_rate": 0.0,
        },
        image_token_id=IMAGE,
    )
    return Parts(model, 37, pictures(rows, 3, 24, 24))


def pix2struct(rows: int) -> Parts:
    """T5's decoder over an encoder of patches."""
    model = make(
        "Pix2StructForConditionalGeneration",
        "Pix2StructConfig",
        text_config={
            **_T5,
            "hidden_size": 32,
            "d_kv": 8,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 1,
        },
        vision_config={
            "hidden_size": 32,
            "patch_embed_hidden_size": 108,
            "d_ff": 48,
            "d_kv": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "seq_len": 16,
        },
    )
    places = torch.cartesian_prod(torch.arange(1, 5), torch.arange(1, 5)).float()
    seen = torch.cat([places.expand(rows, -1, -1), torch.randn(rows, 16, 108)], dim=2)
    return Parts(model, 0, {"flattened_patches": seen, "attention_mask": torch.ones(rows, 16)})


def pp_formulanet(rows: int) -> Parts:
    """A SAM tower as encoder."""
    model = make(
        "PPFormulaNetForConditionalGeneration",
        "PPFormulaNetConfig",
        text_config={
            "vocab_size": VOCABULARY,
            "max_position_embeddings": 128,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_layers": 2,
            "decoder_ffn_dim": 48,
            "decoder_attention_heads": 4,
            "d_model": 32,
            "dropout": 0.0,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 4,
            "window_size": 4,
            "global_attn_indexes": [1],
            "mlp_dim": 32,
            "post_conv_in_channels": 16,
            "post_conv_mid_channels": 16,
            "post_conv_out_channels": 32,
            "decoder_hidden_size": 32,
        },
    )
    return Parts(model, 0, pictures(rows, 3, 32, 32))


def udop(rows: int) -> Parts:
    """T5 over words, boxes and patches."""
    model = make(
        "UdopForConditionalGeneration",
        "UdopConfig",
        **_T5,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        image_size=24,
        patch_size=6,
        decoder_start_token_id=1,
    )

    def boxes(ids: Tensor) -> dict[str, Tensor]:
        return {"bbox": torch.tensor([0.1, 0.1, 0.4, 0.4]).expand(*ids.shape, 4)}

    return Parts(model, 0, pictures(rows, 3, 24, 24), others=boxes)


def vision_encoder_decoder(rows: int) -> Parts:
    """Any tower as encoder, any decoder with cross-attention: here ViT and GPT-2."""
    text = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        add_cross_attention=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**VISION), text
    )
    model = transformers.VisionEncoderDecoderModel(config=config)
    model.generation_config.decoder_start_token_id = 1
    return Parts(model, 0, pictures(rows, 3, 24, 24) | {"attention_mask": torch.ones(rows, 17)})


FAMILIES: dict[str, Builder] = {
    "blip": blip,
    "blip-2": blip_2,
    "florence2": florence2,
    "git": git,
    "instructblip": instructblip,
    "instructblipvideo": instructblipvideo,
    "kosmos-2": kosmos_2,
    "kosmos-2.5": kosmos_2_5,
    "pix2struct": pix2struct,
    "pp_formulanet": pp_formulanet,
    "udop": udop,
    "vision-encoder-decoder": vision_encoder_decoder,
}
