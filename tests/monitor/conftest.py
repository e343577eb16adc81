"""A tiny LLaVA with random weights and its own tokenizer, saved and loaded as a real one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.session import Monitor
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    LogitsProcessor,
    PreTrainedTokenizerFast,
    set_seed,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SENTENCES = (
    "The image shows a dog on a bench near two traffic lights.",
    "A woman rides a bicycle past the bus stop in the background.",
    "There are three wine glasses and a pizza on the dining table.",
    "In the scene a cat sleeps beside the laptop, and birds fly over the boats.",
    "Please help me describe the image in detail. USER: ASSISTANT:",
)
TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def _tokenizer() -> Any:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=["<pad>", "<s>", "</s>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(SENTENCES * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="left",
        extra_special_tokens={"image_token": "<image>"},
    )


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that ``from_pretrained`` reads: 6 layers, 4 image tokens, 24 x 24 pixels."""
    folder = tmp_path_factory.mktemp("tiny-llava")
    tokenizer = _tokenizer()
    set_seed(11)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=24,
            patch_size=12,
            projection_dim=16,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.3,
            tie_word_embeddings=False,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
        image_seq_length=4,
    )
    model = LlavaForConditionalGeneration(config).eval()
    model.generation_config.update(pad_token_id=0, bos_token_id=1, eos_token_id=2)
    model.save_pretrained(folder)
    size = {"height": 24, "width": 24}
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size=size, crop_size=size, do_center_crop=False, do_convert_rgb=True
        ),
        tokenizer=tokenizer,
        patch_size=12,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def _loaded(tiny_folder: Path) -> Any:
    model = AutoModelForImageTextToText.from_pretrained(tiny_folder).eval()
    return model, AutoProcessor.from_pretrained(tiny_folder, backend="pil")


@pytest.fixture
def tiny(
    _loaded: tuple[LlavaForConditionalGeneration, LlavaProcessor],
) -> Iterator[tuple[LlavaForConditionalGeneration, LlavaProcessor]]:
    """The tiny model and processor; fails the test that leaves the model changed."""
    model, processor = _loaded
    before = {name: module.config for name, module in model.named_modules() if _owns(module)}
    yield model, processor
    for name, module in model.named_modules():
        # transformers leaves hooks of its own; ours must be gone
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            home = getattr(hook, "__module__", "")
            assert not home.startswith("sightline."), f"{hook} left on {name!r}"
        if _owns(module):
            assert module.config is before[name], f"config of {name!r} was replaced"


def _owns(module: torch.nn.Module) -> bool:
    return "config" in vars(module)


@pytest.fixture
def monitor(tiny: tuple[LlavaForConditionalGeneration, LlavaProcessor]) -> Monitor:
    """A monitor of the tiny model, without a calibration."""
    return Monitor(*tiny, name="tiny")


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Three small pictures that differ."""
    generator = torch.Generator().manual_seed(3)
    return [
        Image.fromarray(
            torch.randint(0, 256, (24, 24, 3), generator=generator, dtype=torch.uint8).numpy()
        )
        for _ in range(3)
    ]


class Script(LogitsProcessor):
    """Makes each row write what it is told, then end: the words are ours, the logits the model's.

    A row may be a text, which is followed by the end token, or token ids, which are not.
    """

    def __init__(self, rows: Sequence[Sequence[int]], *, after: int) -> None:
        self._rows = rows
        self._after = after
        self._step = 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        forced = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(self._rows):
            forced[row, ids[self._step] if self._step < len(ids) else self._after] = 0.0
        self._step += 1
        return forced


@pytest.fixture
def script(
    tiny: tuple[LlavaForConditionalGeneration, LlavaProcessor],
) -> Callable[..., Script]:
    """Called with the texts (or token ids) of each row, a logits processor that enforces them."""
    tokenizer = tiny[1].tokenizer
    end = tokenizer.eos_token_id

    def write(*rows: str | Sequence[int]) -> Script:
        encoded = [
            [*tokenizer.encode(row, add_special_tokens=False), end] if isinstance(row, str) else row
            for row in rows
        ]
        return Script(encoded, after=end)

    return write
