"""Tiny checkpoints in the files that real ones have on the Hugging Face hub, and a cache of them.

The configs, processors and tokenizers are of the real classes; sizes and weights are not. Files are
written as the hub's repositories have them: ``preprocessor_config.json`` names the image processor
without a back end, and the chat template lies in a file of its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, set_seed

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"

_SAMPLES: Final = ("A dog on a bench.", "Please help me describe the image in detail.")
_SIZE: Final = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
_EYE: Final = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def cache(home: Path, name: str, folder: Path) -> None:
    """Put a checkpoint into the hub's cache below ``HF_HOME``, as if it had been downloaded."""
    entry = home / "hub" / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, entry / "snapshots" / COMMIT)
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text(COMMIT, encoding="utf-8")


def llava(folder: Path) -> None:
    """llava-hf/llava-1.5-7b-hf, with all its 32 layers."""
    ids = _tokenizer(folder, {"image_token": "<image>"})
    config = transformers.LlavaConfig(
        vision_config={
            **_EYE,
            "model_type": "clip_vision_model",
            "image_size": 24,
            "patch_size": 12,
        },
        text_config=_text("llama", ids, num_hidden_layers=32),
        image_token_index=ids["<image>"],
        image_seq_length=4,
    )
    _model(folder, transformers.LlavaForConditionalGeneration(config))
    size = {"height": 24, "width": 24}
    _write(
        folder / "preprocessor_config.json",
        image_processor_type="CLIPImageProcessor",
        processor_class="LlavaProcessor",
        size=size,
        crop_size=size,
        do_convert_rgb=True,
    )
    _write(
        folder / "processor_config.json",
        processor_class="LlavaProcessor",
        patch_size=12,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        image_token="<image>",
    )
    _write(folder / "chat_template.json", chat_template=_template("<image>\n"))


def qwen(folder: Path) -> None:
    """Qwen/Qwen2.5-VL-3B-Instruct."""
    pad, video, start, end = "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
    ids = _tokenizer(folder, {"image_token": pad, "video_token": video}, start, end)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = transformers.Qwen2_5_VLConfig(
        text_config={**_text(None, ids, num_hidden_layers=3), "rope_parameters": rope},
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
        image_token_id=ids[pad],
        video_token_id=ids[video],
        vision_start_token_id=ids[start],
        vision_end_token_id=ids[end],
    )
    _model(folder, transformers.Qwen2_5_VLForConditionalGeneration(config))
    _write(
        folder / "preprocessor_config.json",
        image_processor_type="Qwen2VLImageProcessor",
        processor_class="Qwen2_5_VLProcessor",
        patch_size=6,
        merge_size=2,
        temporal_patch_size=2,
        min_pixels=24 * 24,
        max_pixels=48 * 48,
    )
    (folder / "chat_template.jinja").write_text(_template(start + pad + end), encoding="utf-8")


def gemma(folder: Path) -> None:
    """google/gemma-3-4b-it."""
    image, begin, end = "<image_soft_token>", "<start_of_image>", "<end_of_image>"
    ids = _tokenizer(folder, {"image_token": image, "boi_token": begin, "eoi_token": end})
    text = _text("gemma3_text", ids, num_hidden_layers=4)
    text |= {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 20}
    text["layer_types"] = ["sliding_attention", "full_attention"] * 2
    config = transformers.Gemma3Config(
        text_config=text,
        vision_config={
            **_EYE,
            "model_type": "siglip_vision_model",
            "image_size": 24,
            "patch_size": 6,
            "vision_use_head": False,
        },
        mm_tokens_per_image=16,
        boi_token_index=ids[begin],
        eoi_token_index=ids[end],
        image_token_index=ids[image],
    )
    _model(folder, transformers.Gemma3ForConditionalGeneration(config))
    _write(
        folder / "preprocessor_config.json",
        image_processor_type="Gemma3ImageProcessor",
        processor_class="Gemma3Processor",
        size={"height": 24, "width": 24},
        image_seq_length=16,
    )
    _write(folder / "processor_config.json", processor_class="Gemma3Processor", image_seq_length=16)
    _write(folder / "chat_template.json", chat_template=_template(begin))


def internvl(folder: Path) -> None:
    """OpenGVLab/InternVL3-1B-hf."""
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    ids = _tokenizer(folder, named)
    config = transformers.InternVLConfig(
        vision_config={**_EYE, "image_size": [24, 24], "patch_size": [6, 6]},
        text_config=_text("qwen2", ids, num_hidden_layers=3),
        image_token_id=ids["<IMG_CONTEXT>"],
        image_seq_length=4,
    )
    _model(folder, transformers.InternVLForConditionalGeneration(config))
    _write(
        folder / "preprocessor_config.json",
        image_processor_type="GotOcr2ImageProcessor",
        processor_class="InternVLProcessor",
        size={"height": 24, "width": 24},
        crop_to_patches=False,
    )
    _write(
        folder / "processor_config.json", processor_class="InternVLProcessor", image_seq_length=4
    )
    (folder / "chat_template.jinja").write_text(_template("<IMG_CONTEXT>\n"), encoding="utf-8")


CHECKPOINTS: Final[Mapping[str, Callable[[Path], None]]] = {
    "llava-hf/llava-1.5-7b-hf": llava,
    "Qwen/Qwen2.5-VL-3B-Instruct": qwen,
    "google/gemma-3-4b-it": gemma,
    "OpenGVLab/InternVL3-1B-hf": internvl,
}
"""What writes a tiny stand-in, by the name whose files it has."""


def _tokenizer(folder: Path, named: Mapping[str, str], *more: str) -> dict[str, int]:
    """Save a byte-level tokenizer with these added tokens; the id of every token."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<s>", "</s>", *named.values(), *more],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(_SAMPLES, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=dict(named),
    ).save_pretrained(folder)
    return dict(inner.get_vocab())


def _text(kind: str | None, ids: Mapping[str, int], *, num_hidden_layers: int) -> dict[str, Any]:
    known: dict[str, Any] = {} if kind is None else {"model_type": kind}
    return {
        **known,
        **_SIZE,
        "vocab_size": len(ids),
        "num_hidden_layers": num_hidden_layers,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _model(folder: Path, model: Any) -> None:
    """Save the model with random weights, always the same ones, and its generation config."""
    set_seed(5)
    model.init_weights()
    model.generation_config.update(pad_token_id=0, bos_token_id=1, eos_token_id=2)
    model.save_pretrained(folder)


def _template(image: str) -> str:
    return (
        "{% for message in messages %}{{ message['role'].upper() }}: "
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}" + image + "{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )


def _write(path: Path, **content: Any) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
