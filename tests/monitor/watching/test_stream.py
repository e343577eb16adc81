"""Events while they happen, in a thread that stops when its consumer leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.errors import WatchError
from sightline.monitor.events import End, Event, Mention, Token, Verdict, Word
from sightline.monitor.report import fold
from sightline.monitor.session import Monitor
from transformers import (
    LlavaProcessor,
    LogitsProcessor,
)

Tiny = tuple[Any, LlavaProcessor]  # a model that generates has no type of its own
Scripted = Callable[..., LogitsProcessor]

DOG = " The image shows a dog on a bench near two traffic lights."
CAT = " In the scene a cat sleeps beside the laptop."


def _hear(event: Event) -> None:
    """Somebody listens, so every step is read by itself, to the last bit as in a stream."""


def test_the_stream_tells_everything_in_order(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """Tokens, words, mentions, verdicts and ends; folded, they are the reports of generate."""
    inputs = monitor.prepare(pictures[:2])
    with monitor.stream(**inputs, max_new_tokens=60, logits_processor=[script(DOG, CAT)]) as stream:
        events = list(stream)
    assert {type(event) for event in events} == {Token, Word, Mention, Verdict, End}
    reports = monitor.generate(
        **inputs, max_new_tokens=60, logits_processor=[script(DOG, CAT)], on_event=_hear
    ).reports
    for row, report in enumerate(reports):
        mine = [event for event in events if event.row == row]
        assert isinstance(mine[-1], End)
        assert "".join(e.text for e in mine if isinstance(e, Token)) == report.text
        header = stream.watch.header(row)
        untimed = {"timings": None}
        assert fold(header, events, row=row).model_copy(update=untimed) == report.model_copy(
            update=untimed
        )


def test_closing_a_stream_early_stops_and_restores(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """After two events the consumer leaves; no thread goes on and the model is as it was."""
    model, _ = tiny
    inputs = monitor.prepare(pictures[:1])
    plain = model.generate(**inputs, max_new_tokens=8)
    stream = monitor.stream(**inputs, max_new_tokens=200, eos_token_id=None)
    next(stream)
    next(stream)
    stream.close()
    assert not [t for t in threading.enumerate() if t.name == "sightline"]
    assert list(stream) == []
    assert stream.watch.reports[0].finish == "interrupted"
    assert len(stream.watch.reports[0].tokens) < 200
    assert torch.equal(plain, model.generate(**inputs, max_new_tokens=8))


def test_a_dropped_stream_ends_its_thread(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """A consumer that breaks out of its loop leaves nothing running, long before the end."""
    passes: list[int] = []
    hook = tiny[0].register_forward_pre_hook(lambda *_: passes.append(1))
    inputs = monitor.prepare(pictures[:1])
    for _ in monitor.stream(**inputs, max_new_tokens=200, eos_token_id=None):
        break
    for thread in threading.enumerate():
        if thread.name == "sightline":
            thread.join(timeout=20)
            assert not thread.is_alive()
    hook.remove()
    assert 0 < len(passes) < 200


def test_a_stream_that_has_not_begun_has_no_watch(
    monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """Reports before the first event are an error that says so."""
    stream = monitor.stream(**monitor.prepare(pictures[:1]), max_new_tokens=4)
    with pytest.raises(WatchError, match="has not begun"):
        _ = stream.watch


def test_an_unread_stream_does_nothing(monitor: Monitor, pictures: list[Image.Image]) -> None:
    """Nothing is generated before the first event is asked for."""
    stream = monitor.stream(**monitor.prepare(pictures[:1]), max_new_tokens=4)
    assert not [t for t in threading.enumerate() if t.name == "sightline"]
    stream.close()
    assert list(stream) == []


def test_an_exception_in_the_thread_reaches_the_consumer(
    monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """What a user's processor raises surfaces in the loop, after the events before it."""

    class Breaks(LogitsProcessor):
        def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
            if input_ids.shape[1] > length + 2:
                raise LookupError("broken processor")
            return scores

    inputs = monitor.prepare(pictures[:1])
    length = inputs["input_ids"].shape[1]
    stream = monitor.stream(
        **inputs, max_new_tokens=9, eos_token_id=None, logits_processor=[Breaks()]
    )
    seen: list[Token] = []
    with pytest.raises(LookupError, match="broken processor"), stream:
        seen.extend(event for event in stream if isinstance(event, Token))
    # extend() keeps what came before the exception
    assert stream.watch.reports[0].finish == "interrupted"
    assert len(stream.watch.reports[0].tokens) == 3


def test_threads_share_a_model_without_mixing(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """Three streams at once on one model report what each would report alone."""
    texts = [DOG, CAT, " A woman rides a bicycle past the bus stop."]
    alone = [
        monitor.generate(
            **monitor.prepare([picture]),
            max_new_tokens=50,
            logits_processor=[script(text)],
            on_event=_hear,
        ).reports[0]
        for picture, text in zip(pictures, texts, strict=True)
    ]
    streams = [
        monitor.stream(
            **monitor.prepare([picture]), max_new_tokens=50, logits_processor=[script(text)]
        )
        for picture, text in zip(pictures, texts, strict=True)
    ]
    open_streams = list(streams)
    while open_streams:
        open_streams = [stream for stream in open_streams if next(stream, None) is not None]
    untimed = {"timings": None}
    for stream, report in zip(streams, alone, strict=True):
        (mixed,) = stream.watch.reports
        assert mixed.model_copy(update=untimed) == report.model_copy(update=untimed)
