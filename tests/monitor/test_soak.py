"""Many captions in one process, a few seconds of them: nothing is left, threads do not mix."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image
from sightline.monitor.session import Monitor

from ..benchmarks.soak import Traces, in_threads, soak, timeless

Tiny = tuple[Any, Any]


@pytest.fixture(scope="module", name="small")
def _small() -> Monitor:
    """The shipped model, with its calibration."""
    return Monitor.from_pretrained("small")


@pytest.fixture(scope="module", name="noise")
def _noise() -> list[Image.Image]:
    """Pictures that differ."""
    return [Image.effect_noise((96, 96), 30 + 40 * i).convert("RGB") for i in range(4)]


@pytest.mark.once
def test_a_short_soak_leaves_nothing_behind(small: Monitor, noise: list[Image.Image]) -> None:
    """Every way of decoding, early leavers and failing calls: no hook, config, registration,
    thread or object of ours remains, and no thread's report differs."""
    seen = soak(small, noise, captions=30)
    assert seen.captions >= 30
    assert seen.left == []
    assert seen.differing == 0


@pytest.mark.once
def test_what_is_left_behind_would_be_found(small: Monitor, noise: list[Image.Image]) -> None:
    """An open watch leaves traces; closed, none."""
    traces = Traces(small.model)
    with small.watch(small.prepare(noise[:1])):
        assert any("living" in trace for trace in traces.left())
        assert any("hooks" in trace or "config" in trace for trace in traces.left())
    assert traces.left() == []


@pytest.mark.parametrize(
    "options",
    [{}, {"num_beams": 2}, {"prompt_lookup_num_tokens": 3}],
    ids=["greedy", "beams", "assisted"],
)
def test_threads_on_one_model_each_get_their_own_report(
    small: Monitor, noise: list[Image.Image], options: dict[str, Any]
) -> None:
    """Four at a time, all numbers bitwise those of a thread alone."""
    prompts = [small.prepare([picture]) for picture in noise]
    options = {**options, "max_new_tokens": 24}
    alone = [small.generate(**inputs, **options).reports for inputs in prompts]
    together = in_threads(small, prompts, **options)
    for one, other in zip(alone, together, strict=True):
        assert timeless(one[0]) == timeless(other[0])
