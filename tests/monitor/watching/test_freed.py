"""What a call held is freed with it, not when the garbage collector comes by."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.policy import Intervention, Policy
from sightline.monitor.session import Monitor
from sightline.monitor.watching.recording import Recorder
from transformers import Cache, StoppingCriteria

LENGTH: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}
ACTS = Policy(tries=(Intervention(alpha=2.0, contrast=0.5),), max_tries=1, threshold=0.0, budget=24)


@pytest.fixture(scope="module", name="small")
def _small() -> Monitor:
    """The shipped model, with its calibration."""
    return Monitor.from_pretrained("small")


@pytest.fixture(scope="module", name="inputs")
def _inputs(small: Monitor) -> dict[str, Any]:
    """Two prompts."""
    noise = [Image.effect_noise((96, 96), 40 + 40 * i).convert("RGB") for i in range(2)]
    return dict(small.prepare(noise))


def _alive() -> Counter[str]:
    """Living objects of ours, caches and tensors, by type."""
    objects = gc.get_objects()
    ours = [type(o) for o in objects if str(type(o).__module__).startswith("sightline.")]
    others = [type(o) for o in objects if issubclass(type(o), (Cache, torch.Tensor))]
    return Counter(kind.__qualname__ for kind in (*ours, *others))


@contextmanager
def _nothing_stays(call: Any) -> Iterator[None]:
    """With the garbage collector off, as much lives after the block as before."""
    call()  # what is made once is made now
    gc.collect()
    before = _alive()
    gc.disable()
    try:
        yield
        after = _alive()
    finally:
        gc.enable()
    assert after - before == Counter()


class _FailingError(Exception):
    """What a call that is meant to fail fails with."""


class _Failing(StoppingCriteria):
    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        raise _FailingError


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_sample": True, "num_return_sequences": 2},
        {"num_beams": 2},
        {"policy": ACTS},
        {"policy": ACTS, "on_event": str},
        {"policy": "stop"},
    ],
    ids=["greedy", "sampled", "beams", "redecode", "redecode, listened to", "stop"],
)
def test_a_call_is_freed_with_its_captions(
    small: Monitor, inputs: dict[str, Any], options: dict[str, Any]
) -> None:
    """Evidence, tap and, under a policy, the cache of keys: no circle holds them."""

    def call() -> None:
        small.generate(**inputs, **{**LENGTH, **options})

    with _nothing_stays(call):
        call()


def test_so_are_assisted_calls_and_streams(small: Monitor, inputs: dict[str, Any]) -> None:
    """Read to the end, left early, or failed."""
    one = {name: value[:1] for name, value in inputs.items()}

    def call() -> None:
        small.generate(**one, **LENGTH, prompt_lookup_num_tokens=3)
        for most in (3, 1000):
            with small.stream(**one, **LENGTH) as events:
                for index, _ in enumerate(events):
                    if index == most:
                        break
        with small.stream(**one, **LENGTH, policy=ACTS) as rewritten:
            list(rewritten)
        with pytest.raises(_FailingError):
            small.generate(**one, **LENGTH, stopping_criteria=[_Failing()])

    with _nothing_stays(call):
        call()


def test_so_are_recordings_and_watches_by_hand(small: Monitor, inputs: dict[str, Any]) -> None:
    """Also of those who call ``generate`` themselves."""
    model: Any = small.model

    def call() -> None:
        with small.watch(inputs, **LENGTH) as watch:
            processors = [watch.logits_processor]
            model.generate(**inputs, **LENGTH, logits_processor=processors, streamer=watch.streamer)
        assert len(watch.reports) == 2
        with Recorder(model, small.anatomy, inputs, **LENGTH) as recorder:
            model.generate(**inputs, **LENGTH, logits_processor=[recorder.logits_processor])

    with _nothing_stays(call):
        call()
