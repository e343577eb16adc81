"""The small model before it has learned anything: tokenizer, processor and an untrained LLaVA."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

INPUT_SIDE: Final = 96
"""Side of the picture the vision tower sees, in pixels."""

PATCH: Final = 12
"""Side of one patch, in pixels."""

PATCHES: Final = (INPUT_SIDE // PATCH) ** 2
"""Image tokens of one picture."""

VOCABULARY: Final = 560
MAX_POSITIONS: Final = 512
BOS, EOS, PAD, IMAGE = "<s>", "</s>", "<pad>", "<image>"
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

CHAT_TEMPLATE: Final = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>{{ '\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{{ '\n' }}{% endif %}"
)


def opening(prompt: str) -> tuple[str, str]:
    """The text before the caption, as the chat template writes it: with the image, and after it."""
    return f"USER: {IMAGE}\n", f"{prompt}\nASSISTANT:\n"


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer learned from ``texts``; every string can be encoded."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[PAD, BOS, EOS, IMAGE],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """The processor that turns pictures and chats into the model's inputs."""
    image_processor = CLIPImageProcessorPil(
        size={"shortest_edge": INPUT_SIDE},
        crop_size={"height": INPUT_SIDE, "width": INPUT_SIDE},
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(
    tokenizer: PreTrainedTokenizerFast, *, seed: int = 0
) -> LlavaForConditionalGeneration:
    """An untrained LLaVA: CLIP vision tower (4 layers), projector, Llama decoder (12 layers)."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        image_size=INPUT_SIDE,
        patch_size=PATCH,
        projection_dim=96,
    )
    text = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=96,
        num_hidden_layers=12,
        num_attention_heads=6,
        num_key_value_heads=6,
        intermediate_size=256,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=_id(tokenizer, BOS),
        eos_token_id=_id(tokenizer, EOS),
        pad_token_id=_id(tokenizer, PAD),
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=_id(tokenizer, IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=PATCHES,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.update(
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
        pad_token_id=text.pad_token_id,
        max_new_tokens=160,
        do_sample=False,
    )
    return model


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found
