"""The registry of published settings: whole, consistent, and found by name and depth."""

from __future__ import annotations

import pytest
from sightline.detectors.published import PUBLISHED, PublishedSettings, named, published


@pytest.mark.parametrize("settings", PUBLISHED, ids=lambda settings: settings.model)
def test_every_row_is_whole(settings: PublishedSettings) -> None:
    """Layers within the decoder, means within the sum's range, real above hallucinated, a prompt,
    an alpha and a source; and the row finds itself by its name and by its checkpoint."""
    count = settings.last - settings.first + 1
    assert 0 <= settings.first <= settings.last < settings.num_layers
    assert 0 < settings.hallucinated < settings.real < count
    assert 0 < settings.alpha < 0.6, "at .6 LLaVA-1.5-7B writes nothing sensible any more"
    assert settings.prompt.endswith(".")
    assert "2411.16724" in settings.source
    for name in filter(None, (settings.model, settings.checkpoint)):
        assert published(name, settings.num_layers) is settings
        assert published(name, settings.num_layers - 1) is None
        assert named(name) is settings


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("llava-hf/llava-1.5-7b-hf", "LLaVA-1.5-7B"),
        ("liuhaotian/llava-v1.5-13b", "LLaVA-1.5-13B"),
        ("/models/llava_v1.5_7b/", "LLaVA-1.5-7B"),
        ("Vision-CAIR/MiniGPT-4", "MiniGPT-4"),
        ("shikras/shikra-7b-delta-v1", "Shikra"),
    ],
)
def test_names_as_people_write_them(name: str, model: str) -> None:
    """Case, dashes, dots and folders make no difference."""
    found = named(name)
    assert found is not None
    assert found.model == model


@pytest.mark.parametrize("name", ["llava-hf/llava-v1.6-vicuna-7b-hf", "Qwen/Qwen2-VL-7B", "", "7b"])
def test_others_are_not_in_it(name: str) -> None:
    """A relative of a published model is not that model."""
    assert named(name) is None


def test_no_name_fits_two_rows() -> None:
    """The order of the table makes no difference."""
    for settings in PUBLISHED:
        assert sum(other.names(settings.model) for other in PUBLISHED) == 1
