"""What the monitor refuses, each with its reason and remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from PIL import Image
from sightline.monitor.errors import InputError, ModelError, NonFiniteError, OptionError
from sightline.monitor.language.lexicon import LexiconError
from sightline.monitor.models.anatomy import Anatomy
from sightline.monitor.session import Monitor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlavaProcessor,
    LogitsProcessor,
)

Tiny = tuple[Any, LlavaProcessor]  # a model that generates has no type of its own
Scripted = Callable[..., LogitsProcessor]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"custom_generate": "some/repo"}, "decoding loop"),
        ({"guidance_scale": 1.5}, "twice per token"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "contrastive"),
        ({"dola_layers": "high"}, "DoLa"),
        ({"prefill_chunk_size": 4}, "several passes"),
        ({"token_healing": True}, "rewrites the prompt"),
        ({"cache_implementation": "paged"}, "paged"),
    ],
)
def test_options_that_cannot_be_watched_are_refused_before_decoding(
    monitor: Monitor, pictures: list[Image.Image], options: dict[str, Any], words: str
) -> None:
    """The error names the option and why, and no forward pass has happened."""
    inputs = monitor.prepare(pictures[:1])
    passes: list[object] = []
    hook = monitor.model.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        for call in (monitor.generate, monitor.stream):
            with pytest.raises(OptionError, match=words):
                call(**inputs, max_new_tokens=3, **options)
        with pytest.raises(OptionError, match=words):
            monitor.watch(inputs, **options)
    finally:
        hook.remove()
    assert not passes


def test_a_model_that_assists_itself_is_refused(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """What it drafts could not be told from what it verifies."""
    with pytest.raises(OptionError, match="cannot be told from what it verifies"):
        monitor.generate(**monitor.prepare(pictures[:1]), assistant_model=tiny[0])


def test_a_prompt_without_an_image_is_refused(monitor: Monitor) -> None:
    """Text alone cannot be watched."""
    inputs = monitor.tokenizer("USER: hello ASSISTANT:", return_tensors="pt")
    with pytest.raises(InputError, match="at least one image token"):
        monitor.generate(**inputs)
    with pytest.raises(InputError, match="at least one image"):
        monitor.prepare([])


def test_a_batch_with_one_prompt_without_an_image_names_it(
    monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """The row without an image is the one named."""
    inputs = monitor.prepare(pictures[:2])
    inputs["input_ids"][1] = 40
    with pytest.raises(InputError, match=r"rows without: \[1\]"):
        monitor.generate(**inputs)


def test_a_prompt_longer_than_the_context_is_refused(
    monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """The context's size and the prompt's are in the error."""
    inputs = monitor.prepare(pictures[:1], "describe " * 300)
    with pytest.raises(InputError, match=r"context of 256, it has \d+ tokens"):
        monitor.generate(**inputs)


def test_embeddings_are_refused(monitor: Monitor, pictures: list[Image.Image]) -> None:
    """Without input_ids nobody knows where the image is."""
    inputs = monitor.prepare(pictures[:1])
    with pytest.raises(InputError, match="input_ids"):
        monitor.generate(inputs_embeds=torch.zeros(1, 4, 32))
    with pytest.raises(InputError, match="input_ids"):
        monitor.generate(pixel_values=inputs["pixel_values"])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("do_sample", [False, True])
def test_unusable_logits_are_an_error_with_row_and_step(
    monitor: Monitor, pictures: list[Image.Image], bad: float, do_sample: bool
) -> None:
    """NaN and infinite logits stop the caption at once, greedy or sampled, naming row and step."""
    inputs = monitor.prepare(pictures[:2])
    hook = _spoil(monitor, row=1, step=2, value=bad)
    try:
        with pytest.raises(NonFiniteError, match="token 2 in row 1") as caught:
            monitor.generate(
                **inputs, max_new_tokens=6, do_sample=do_sample, eos_token_id=None, top_k=0
            )
    finally:
        hook.remove()
    assert (caught.value.row, caught.value.step) == (1, 2)


def test_unusable_logits_can_be_recorded(tiny: Tiny, pictures: list[Image.Image]) -> None:
    """On request the caption goes on, and the token has no log-probability."""
    monitor = Monitor(*tiny, on_nonfinite="record")
    inputs = monitor.prepare(pictures[:2])
    hook = _spoil(monitor, row=1, step=2, value=torch.nan)
    try:
        first, second = monitor.generate(
            **inputs, max_new_tokens=5, eos_token_id=None, pad_token_id=1
        ).reports
    finally:
        hook.remove()
    assert [token.log_prob is None for token in second.tokens] == [False, False, True, False, False]
    assert second.tokens[2].id == 7  # what plain greedy makes of it
    assert all(token.log_prob is not None for token in first.tokens)
    assert '"log_prob":null' in second.to_json()


def _spoil(
    monitor: Monitor, *, row: int, step: int, value: float
) -> torch.utils.hooks.RemovableHandle:
    passes = 0

    def hook(module: object, args: object, output: object) -> None:
        nonlocal passes
        if passes == step:
            output.logits[row, -1, 7] = value  # type: ignore[attr-defined]
        passes += 1

    return monitor.model.register_forward_hook(hook)


def test_a_range_over_layers_without_attention_is_refused(tiny: Tiny) -> None:
    """A hybrid model's other layers are named, and those that can be chosen."""
    whole = Anatomy.of(tiny[0])
    hybrid = replace(whole, layers=(1, 3, 5), attentions=whole.attentions[1::2])
    with pytest.raises(ModelError, match=r"layers \[2\] of .* attention layers \[1, 3, 5\]"):
        Monitor(*tiny, anatomy=hybrid)
    assert str(Monitor(*tiny, anatomy=hybrid, layers="3").layers) == "3-3"


def test_a_text_only_model_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    """In memory and from a folder, the error says what kind of model is needed."""
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    model = LlamaForCausalLM(config)
    with pytest.raises(ModelError, match="text-only"):
        Monitor(model, tiny[1])
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="'llama' model"):
        Monitor.from_pretrained(tmp_path)


def test_a_spacy_pipeline_without_tags_is_refused(tiny: Tiny) -> None:
    """A blank pipeline finds no nouns, and says so before anything is decoded."""
    with pytest.raises(ValueError, match="tagger or morphologizer"):
        Monitor(*tiny, spacy_pipeline=spacy.blank("en"))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """An empty folder and a missing one are named, with what would do."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ModelError, match="save_pretrained"):
            Monitor.from_pretrained(folder)


def test_a_damaged_checkpoint_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    """Truncated weights are an error with the folder's name."""
    for path in tiny_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="could not be loaded"):
        Monitor.from_pretrained(tmp_path)


def test_a_processor_without_a_tokenizer_is_refused(tiny: Tiny) -> None:
    """An image processor alone cannot turn tokens into words."""
    with pytest.raises(ModelError, match="AutoProcessor"):
        Monitor(tiny[0], tiny[1].image_processor)


def test_an_unknown_lexicon_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    """A name that is neither packaged nor a file, and a file in no known format."""
    with pytest.raises(LexiconError, match="coco"):
        Monitor(*tiny, lexicon="nope")
    path = tmp_path / "lexicon.json"
    path.write_text("[1, 2]")
    with pytest.raises(LexiconError, match="format"):
        Monitor(*tiny, lexicon=path)


def test_a_folder_round_trip(tiny_folder: Path, pictures: list[Image.Image]) -> None:
    """from_pretrained reads a saved model and its processor, and names them in the report."""
    monitor = Monitor.from_pretrained(tiny_folder)
    (report,) = monitor.generate(**monitor.prepare(pictures[:1]), max_new_tokens=3).reports
    assert report.model.name == str(tiny_folder)
    assert report.model.architecture == "LlavaForConditionalGeneration"


def test_counts_of_images_must_agree(monitor: Monitor, pictures: list[Image.Image]) -> None:
    """One prompt per image, one entry of images= per prompt."""
    with pytest.raises(InputError, match="each of the 2 entries"):
        monitor.prepare(pictures[:2], ["a", "b", "c"])
    with pytest.raises(InputError, match="each of the 2 prompts"):
        monitor.generate(**monitor.prepare(pictures[:2]), images=[None])


def test_without_a_chat_template_the_prompt_holds_the_image(
    tiny_folder: Path, pictures: list[Image.Image]
) -> None:
    """The error shows how to write the prompt; written so, it works."""
    monitor = Monitor.from_pretrained(tiny_folder)
    monitor.processor.chat_template = None
    with pytest.raises(InputError, match="USER: <image>"):
        monitor.prepare(pictures[:1], "What is it?")
    inputs = monitor.prepare(pictures[:1], "USER: <image>\nWhat is it? ASSISTANT:")
    (report,) = monitor.generate(**inputs, max_new_tokens=2).reports
    assert report.image_tokens == 4
