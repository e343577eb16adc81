"""How long prompts are, by the size of the picture."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sightline.monitor.errors import ImageError
from sightline.monitor.jobs.lengths import PromptLengths
from sightline.monitor.jobs.retries import Retries
from sightline.monitor.models.images import MAX_PIXELS, image_size
from transformers import LlavaNextProcessor, LlavaProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)

TEMPLATE = "{% for message in messages %}<image> {{ message['role'] }}{% endfor %}"


@pytest.fixture
def tiles(tiny: tuple[Any, LlavaProcessor]) -> LlavaNextProcessor:
    """A processor that spends more tokens on larger pictures, in tiles of 24 x 24 pixels."""
    size = {"height": 24, "width": 24}
    return LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": 24},
            crop_size=size,
            image_grid_pinpoints=[[24, 48], [48, 24], [48, 48], [24, 72]],
        ),
        tokenizer=tiny[1].tokenizer,
        patch_size=12,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )


def lengths(processor: Any, slept: list[float] | None = None) -> PromptLengths:
    """Of a processor, without real pauses."""
    pauses: list[float] = [] if slept is None else slept
    retries = Retries(2, sleep=pauses.append)
    return PromptLengths(processor, "What?", max_pixels=MAX_PIXELS, retries=retries)


def test_prompts_that_do_not_vary_are_told_at_once(tiny: tuple[Any, LlavaProcessor]) -> None:
    """LLaVA spends as many tokens on every picture: nothing is to be grouped."""
    assert not lengths(tiny[1]).vary


def test_a_length_is_that_of_the_real_prompt(tiles: LlavaNextProcessor, tmp_path: Path) -> None:
    """What the size says is what the processor makes of the file, lying on its side or not."""
    known = lengths(tiles)
    assert known.vary
    turned = Image.Exif()
    turned[0x0112] = 6
    process: Any = tiles  # typed as if it took no tensors
    for name, size, exif in (
        ("a.png", (24, 24), None),
        ("b.png", (24, 72), None),
        ("c.jpg", (48, 24), Image.Exif()),
        ("d.jpg", (72, 24), turned),
    ):
        path = tmp_path / name
        Image.new("RGB", size).save(path, exif=exif or b"")
        upright = Image.new("RGB", (24, 72) if exif is turned else size)
        inputs = process(images=[upright], text="<image> user", return_tensors="pt")
        assert known.of(path) == inputs["input_ids"].shape[-1]
    assert known.of(tmp_path / "b.png") != known.of(tmp_path / "a.png")


def test_what_cannot_be_read_has_no_length(tiles: LlavaNextProcessor, tmp_path: Path) -> None:
    """It is captioned with the others, and fails there with its reason."""
    known = lengths(tiles)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert known.of(tmp_path / "broken.png") == known.of(tmp_path / "gone.png") == 0
    Image.new("RGB", (200, 1)).save(tmp_path / "large.png")
    small = PromptLengths(tiles, "What?", max_pixels=199, retries=Retries())
    assert small.of(tmp_path / "large.png") == 0


def test_a_read_that_fails_for_a_moment_is_tried_again(
    tiles: LlavaNextProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image goes with its equals, or the digits of a resumed job would differ."""
    path = tmp_path / "a.png"
    Image.new("RGB", (24, 48)).save(path)
    slept: list[float] = []
    known = lengths(tiles, slept)
    expected, turns = known.of(path), []
    real: Any = Image.open

    def hiccup(*arguments: Any, **options: Any) -> Any:
        turns.append(1)
        if len(turns) == 1:
            raise OSError(errno.EIO, "input/output error")
        return real(*arguments, **options)

    monkeypatch.setattr(Image, "open", hiccup)
    assert known.of(path) == expected
    assert slept == [0.5]
    monkeypatch.setattr(Image, "open", lambda *_, **__: _raise(OSError(errno.EIO, "for good")))
    assert known.of(path) == 0


def _raise(error: Exception) -> None:
    raise error


def test_image_error_is_what_a_size_raises(tmp_path: Path) -> None:
    """As opening does: one class to catch."""
    with pytest.raises(ImageError, match="No such image"):
        image_size(tmp_path / "gone.png")
