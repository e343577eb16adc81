"""The training: exact batches, resumable, the same for any number of workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sightline.calibration.scenes.architecture import (
    INPUT_SIDE,
    PATCHES,
    VOCABULARY,
    build_model,
    build_processor,
    opening,
)
from sightline.calibration.scenes.captions import DETAILED, subject
from sightline.calibration.scenes.catalogue import COLOURS, TYPES
from sightline.calibration.scenes.render import Picture, render
from sightline.calibration.scenes.training import run as training
from sightline.calibration.scenes.training import workers
from sightline.calibration.scenes.training.corpus import patch_labels
from sightline.calibration.scenes.training.language import SightedLoss, TextLoss, Writer
from sightline.calibration.scenes.training.recipe import TINY
from sightline.calibration.scenes.training.vision import pixel_values
from sightline.calibration.scenes.training.workers import Worker
from sightline.calibration.scenes.world import sample_scene
from sightline.monitor.models.prompts import prepare
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedTokenizerFast


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder in which every stage has run, in seconds."""
    folder = tmp_path_factory.mktemp("training")
    assert training.train(folder, TINY, workers=1) == folder / "model"
    return folder


@pytest.fixture(scope="module")
def tokenizer(rehearsed: Path) -> PreTrainedTokenizerFast:
    """The tokenizer that the rehearsal learned."""
    found = PreTrainedTokenizerFast.from_pretrained(rehearsed / "tokenizer")
    assert isinstance(found, PreTrainedTokenizerFast)
    return found


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """A few scenes."""
    return [render(sample_scene(i)) for i in range(6)]


def _pixels(pictures: list[Picture]) -> np.ndarray:
    size, how = (INPUT_SIDE, INPUT_SIDE), Image.Resampling.BICUBIC
    return np.stack([np.asarray(p.image.resize(size, how)) for p in pictures])


def test_checkpoint_loads_as_any_other(rehearsed: Path) -> None:
    """The result is an ordinary fp16 LLaVA checkpoint of at most 8 MB with its processor."""
    folder = rehearsed / "model"
    assert (folder / "model.safetensors").stat().st_size <= 8_000_000
    assert {t.dtype for t in load_file(folder / "model.safetensors").values()} == {torch.float16}
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert type(model).__name__ == "LlavaForConditionalGeneration"
    assert model.config.text_config.num_hidden_layers >= 12
    assert type(AutoProcessor.from_pretrained(folder)).__name__ == "LlavaProcessor"


def test_training_again_changes_nothing(rehearsed: Path) -> None:
    """A finished training is finished: the same command gives the same weights."""
    before = load_file(rehearsed / "model" / "model.safetensors")
    training.train(rehearsed, TINY, workers=1)
    after = load_file(rehearsed / "model" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.once
def test_interrupted_training_goes_on(
    rehearsed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of every stage and called again, it ends in the same weights."""
    monkeypatch.setattr(workers, "_CHECKPOINT_SECONDS", 0.0)
    step, calls = workers.Optimisers.step, 0

    def interrupt(self: workers.Optimisers, number: int) -> None:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise KeyboardInterrupt
        step(self, number)

    monkeypatch.setattr(workers.Optimisers, "step", interrupt)
    stops = 0
    while True:
        try:
            training.train(tmp_path, TINY, workers=1)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops >= 4
    there = load_file(rehearsed / "model" / "model.safetensors")
    here = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(there[name], here[name]) for name in there)


@pytest.mark.once
def test_two_workers_train_as_one(rehearsed: Path, tmp_path: Path) -> None:
    """Sharing the work changes the result by rounding only."""
    training.train(tmp_path, TINY, workers=2)
    there = load_file(rehearsed / "model" / "model.safetensors")
    here = load_file(tmp_path / "model" / "model.safetensors")
    for name in there:
        torch.testing.assert_close(here[name].float(), there[name].float(), atol=3e-3, rtol=0.05)


def test_folder_of_another_recipe_is_refused(rehearsed: Path) -> None:
    """A folder belongs to one recipe."""
    with pytest.raises(ValueError, match="another recipe"):
        training.train(rehearsed, replace(TINY, seed=1), workers=1)


def test_no_workers_are_refused(tmp_path: Path) -> None:
    """Zero workers cannot train."""
    with pytest.raises(ValueError, match="at least 1, was: 0"):
        training.train(tmp_path, TINY, workers=0)


def test_training_pixels_are_the_processors(
    pictures: list[Picture], tokenizer: PreTrainedTokenizerFast
) -> None:
    """What the tower was trained on is what the processor hands it."""
    processor = build_processor(tokenizer)
    batch = prepare(processor, [p.image for p in pictures], DETAILED[0])
    assert torch.equal(batch["pixel_values"], pixel_values(_pixels(pictures)))


def test_chat_template_is_the_training_text(
    pictures: list[Picture], tokenizer: PreTrainedTokenizerFast
) -> None:
    """A prompt through the processor gives the very tokens of the training."""
    batch = prepare(build_processor(tokenizer), [pictures[0].image], DETAILED[0])
    writer = Writer(tokenizer, detailed=1.0)
    image = tokenizer.convert_tokens_to_ids("<image>")
    prompt = writer.encode(opening(DETAILED[0])[1])
    assert batch["input_ids"][0].tolist() == [
        *writer.before,
        *[image] * PATCHES,
        *writer.after,
        *prompt,
    ]


@torch.no_grad()
def test_packed_captions_do_not_see_each_other(
    pictures: list[Picture], tokenizer: PreTrainedTokenizerFast
) -> None:
    """Two captions on one picture have the loss that each has alone, through the whole model."""
    model = build_model(tokenizer).eval()
    tower = model.model.vision_tower
    features = tower(pixel_values=pixel_values(_pixels(pictures))).last_hidden_state[:, 1:].half()
    writer = Writer(tokenizer, detailed=0.5)
    subjects = [subject(p) for p in pictures]
    loss = SightedLoss(model, features.numpy(), subjects, writer, TINY, TINY.joint, 4)
    total, weight = loss(0, Worker(0, 1))
    expected, count = 0.0, 0
    image = tokenizer.convert_tokens_to_ids("<image>")
    for row, examples in loss._pool(0)[0]:
        for example in examples:
            ids = torch.tensor([[*writer.before, *[image] * PATCHES, *writer.after, *example.ids]])
            start = ids.shape[1] - len(example.ids) + example.start
            pixels = pixel_values(_pixels([pictures[row]]))
            logits = model(input_ids=ids, pixel_values=pixels).logits[0]
            expected += float(
                torch.nn.functional.cross_entropy(
                    logits[start - 1 : -1], ids[0, start:], reduction="sum"
                )
            )
            count += ids.shape[1] - start
    assert weight == count
    assert float(total) == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_text_stage_never_sees_a_picture(tokenizer: PreTrainedTokenizerFast) -> None:
    """The language stage works without a vision tower or a projector."""
    model = build_model(tokenizer)
    del model.model.vision_tower, model.model.multi_modal_projector
    subjects = [subject(render(sample_scene(i))) for i in range(12)]
    loss = TextLoss(model, subjects, Writer(tokenizer, detailed=0.75), TINY)
    total, weight = loss(0, Worker(0, 1))
    assert float(total) / weight == pytest.approx(np.log(VOCABULARY), rel=0.2)


def test_patch_labels_follow_the_pixels(pictures: list[Picture]) -> None:
    """A patch is labelled with the annotated object that covers most of it."""
    names, colours = list(TYPES), list(COLOURS)
    labelled = 0
    for picture in pictures:
        types, colour = patch_labels(picture)
        assert ((types > 0) == (colour > 0)).all()
        for patch in np.flatnonzero(types):
            row, column = divmod(int(patch), 8)
            owners = picture.owner[row * 24 : row * 24 + 24, column * 24 : column * 24 + 24]
            shares = [
                (owners == i).mean() if seen.annotated else 0.0
                for i, seen in enumerate(picture.seen, start=1)
            ]
            best = picture.seen[int(np.argmax(shares))].object
            assert names[types[patch] - 1] == best.type
            assert colours[colour[patch] - 1] == best.colour
            labelled += 1
    assert labelled > 40
