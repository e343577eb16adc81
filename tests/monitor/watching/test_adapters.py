"""What plugs into ``generate``: its signatures, and that it only looks on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.decoding.forcing import Forcing
from sightline.monitor.session import Monitor
from sightline.monitor.watching.adapters import WatchingProcessor, WatchingStreamer
from torch import Tensor
from transformers import (
    LlavaProcessor,
    LogitsProcessor,
    TextIteratorStreamer,
)
from transformers.generation.streamers import BaseStreamer

Tiny = tuple[Any, LlavaProcessor]
Scripted = Callable[..., LogitsProcessor]


def test_the_signatures_are_those_transformers_inspects() -> None:
    """LogitsProcessorList counts parameters: exactly (input_ids, scores)."""
    parameters = inspect.signature(WatchingProcessor.__call__).parameters
    assert list(parameters) == ["self", "input_ids", "scores"]
    assert issubclass(WatchingProcessor, LogitsProcessor)
    assert issubclass(WatchingStreamer, BaseStreamer)


def test_the_scores_are_handed_on_untouched() -> None:
    """The very tensor comes back, and the listener is asked nothing about it."""

    class Silent:
        seen: Tensor | None = None

        def on_scores(self, input_ids: Tensor) -> None:
            self.seen = input_ids

        def on_tokens(self, ids: Tensor) -> None: ...

        def on_end(self) -> None: ...

    listener = Silent()
    ids = torch.tensor([[1, 2]])
    scores = torch.randn(1, 5)
    before = scores.clone()
    processor = WatchingProcessor(listener)
    assert processor(ids, scores) is scores  # type: ignore[arg-type]  # a LongTensor by convention
    assert torch.equal(scores, before)
    assert listener.seen is ids


@pytest.mark.parametrize("processor", [WatchingProcessor, Forcing])
def test_the_signature_is_not_worked_out_anew_each_step(processor: type[LogitsProcessor]) -> None:
    """The signature that generate asks for at every step is kept, and it is the true one."""
    kept = vars(processor.__call__)["__signature__"]
    assert list(kept.parameters) == ["self", "input_ids", "scores"]


def test_another_streamer_sees_everything_too(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """A user's own streamer is fed what ours is fed."""
    inputs = monitor.prepare(pictures[:1])
    other = TextIteratorStreamer(monitor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    result = monitor.generate(
        **inputs, max_new_tokens=30, streamer=other, logits_processor=[script(" A dog sleeps")]
    )
    assert "".join(other) == result.texts[0] == " A dog sleeps"
