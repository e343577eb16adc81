"""Whole captions of models with processors of other kinds: tiles, and no chat template."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from sightline.monitor.inspection import inspect
from sightline.monitor.session import Monitor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)

from ...support.parts import TEXT, VISION, clip

SIDE = {"height": 24, "width": 24}
PINPOINTS = [[24, 24], [24, 48], [48, 24], [48, 48]]


@pytest.fixture
def picture() -> Image.Image:
    """A wide picture of noise."""
    noise = np.random.default_rng(4).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def llava_next(tokenizer: Any) -> tuple[Any, Any, int]:
    """A base picture, tiles, and a token at the end of each row."""
    text = {**TEXT, "vocab_size": len(tokenizer)}
    model = transformers.LlavaNextForConditionalGeneration(
        transformers.LlavaNextConfig(
            vision_config=clip(),
            text_config=transformers.MistralConfig(**text, sliding_window=None),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            image_seq_length=16,
            image_grid_pinpoints=PINPOINTS,
        )
    )
    processor = transformers.LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": 24}, crop_size=SIDE, image_grid_pinpoints=PINPOINTS
        ),
        tokenizer=tokenizer,
        patch_size=6,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return model, processor, 1


def idefics3(tokenizer: Any) -> tuple[Any, Any, int]:
    """Tiles with tokens between them, the whole picture at the end."""
    tokenizer.add_special_tokens(
        {
            "additional_special_tokens": [
                "<fake_token_around_image>",
                "<global-img>",
                "<end_of_utterance>",
                *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
            ]
        }
    )
    model = transformers.Idefics3ForConditionalGeneration(
        transformers.Idefics3Config(
            vision_config=dict(VISION),
            text_config=transformers.LlamaConfig(**{**TEXT, "vocab_size": len(tokenizer)}),
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
            scale_factor=2,
        )
    )
    processor = transformers.Idefics3Processor(
        image_processor=Idefics3ImageProcessorPil(
            size={"longest_edge": 72}, max_image_size={"longest_edge": 24}
        ),
        tokenizer=tokenizer,
        image_seq_len=4,
    )
    return model, processor, 7


@pytest.mark.parametrize("build", [llava_next, idefics3])
@pytest.mark.parametrize("templated", [True, False])
def test_captions_are_found_again(
    tiny: Any, picture: Image.Image, build: Any, templated: bool
) -> None:
    """The prompt is made again from the report, tiles and all, and SVAR comes out as it was."""
    tokenizer = copy.deepcopy(tiny[1].tokenizer)
    torch.manual_seed(3)
    model, processor, least = build(tokenizer)
    image = int(tokenizer.convert_tokens_to_ids("<image>"))
    model.generation_config.update(
        pad_token_id=0, bos_token_id=1, eos_token_id=2, suppress_tokens=[image]
    )
    processor.chat_template = tiny[1].chat_template if templated else None
    monitor = Monitor(model.eval(), processor, name="made", layers="1-2")
    question = "Please help me describe the dog."
    asked = question if templated else f"<image> {question}"
    inputs = monitor.prepare([picture], asked)
    report = monitor.generate(**inputs, max_new_tokens=40).reports[0]
    found = inspect(monitor, report, picture)
    assert found.inside is not None
    assert len(found.inside.grids) >= least
    over = slice(1, 3)
    for mention in found.mentions:
        assert mention.inside is not None
        profile = np.array(mention.inside.profile, dtype=np.float64)
        assert profile[over].sum() == pytest.approx(mention.svar, abs=1e-5)
