"""A recorded call of generate tells afterwards what a watched one tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sightline.monitor.errors import NonFiniteError, OptionError, WatchError
from sightline.monitor.events import End, Event, Token
from sightline.monitor.session import Monitor
from sightline.monitor.watching.recording import Recorder
from transformers import LogitsProcessor

Scripted = Callable[..., LogitsProcessor]


@pytest.fixture(name="whole")
def _whole(tiny: Any) -> Monitor:
    """A monitor of the tiny model that watches all layers, as a recorder does."""
    return Monitor(*tiny, watch_layers="all", on_nonfinite="record")


def _recorded(monitor: Monitor, inputs: Any, rules: list[Any], **options: Any) -> Any:
    with Recorder(
        monitor.model, monitor.anatomy, inputs, on_nonfinite=monitor.on_nonfinite, **options
    ) as recorder:
        model: Any = monitor.model
        sequences = model.generate(
            **inputs, **options, logits_processor=[*rules, recorder.logits_processor]
        )
    return recorder, recorder.transcripts(sequences)


def _watched(
    monitor: Monitor, inputs: Any, rules: list[Any], **options: Any
) -> tuple[list[Token], list[End]]:
    events: list[Event] = []
    monitor.generate(**inputs, **options, logits_processor=rules, on_event=events.append)
    ends = sorted((e for e in events if isinstance(e, End)), key=lambda end: end.row)
    return [e for e in events if isinstance(e, Token)], ends


@pytest.mark.parametrize("limit", [3, 9, 30])
def test_every_token_is_what_it_was(
    whole: Monitor, pictures: list[Image.Image], script: Scripted, limit: int
) -> None:
    """Rows that end by themselves, are cut, or hold pad tokens, left-padded: the same tokens,
    ends and measurements."""
    pad = whole.tokenizer.pad_token_id
    dog = whole.tokenizer.encode(" A dog")
    inputs = whole.prepare(pictures, ["What?", "What is in the picture?", "What is it?"])
    assert inputs["attention_mask"].min() == 0

    def rules() -> list[Any]:
        return [script(" A dog.", [*dog, pad, *dog, 2], [*dog, *dog, *dog, *dog, pad, pad])]

    options = {"max_new_tokens": limit, "do_sample": False}
    recorder, transcripts = _recorded(whole, inputs, rules(), **options)
    tokens, ends = _watched(whole, inputs, rules(), **options)
    assert [one.finish for one in transcripts] == [end.reason for end in ends]
    assert [len(one.tokens) for one in transcripts] == [end.tokens for end in ends]
    for token in tokens:
        assert transcripts[token.row].tokens[token.index] == token.id
    measured = recorder.measure([t.row for t in tokens], [t.index for t in tokens])
    for place, token in enumerate(tokens):
        found, online = measured.evidence(place), token.evidence
        assert online is not None
        assert found.layers == online.layers
        np.testing.assert_allclose(found.masses, online.masses, rtol=1e-6, atol=1e-6)
        for name in ("log_prob", "entropy", "margin"):
            assert getattr(found, name) == getattr(online, name)
    assert all(0 < one.seconds < 60 for one in transcripts)


def test_logits_that_mean_nothing_are_refused_or_recorded(
    whole: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """As on_nonfinite says; what comes after a row's end does not count."""
    head: Any = whole.model.get_output_embeddings()
    inputs = whole.prepare(pictures[:1])
    passes = 0

    def broken(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        nonlocal passes
        passes += 1
        return torch.full_like(output, torch.nan) if passes == 3 else output

    options = {"max_new_tokens": 4, "do_sample": False}
    hook = head.register_forward_hook(broken)
    try:
        recorder, _ = _recorded(whole, inputs, [script([5, 6, 7, 8])], **options)
        assert recorder.measure([0, 0], [1, 2]).evidence(1).log_prob is None
        whole.on_nonfinite = "raise"
        passes = 0
        with pytest.raises(NonFiniteError) as caught:
            _recorded(whole, inputs, [script([5, 6, 7, 8])], **options)
        assert (caught.value.row, caught.value.step) == (0, 2)
    finally:
        hook.remove()


def test_stop_strings_are_refused(whole: Monitor, pictures: list[Image.Image]) -> None:
    """Whether a row was stopped is only seen while it is written."""
    inputs = whole.prepare(pictures[:1])
    with pytest.raises(OptionError, match=r"stop strings, was given: 'dog'"):
        Recorder(whole.model, whole.anatomy, inputs, stop_strings=["dog"], max_new_tokens=4)


def test_other_calls_than_the_recorded_are_refused(
    whole: Monitor, pictures: list[Image.Image]
) -> None:
    """Other inputs, and sequences that were never recorded."""
    inputs, other = whole.prepare(pictures[:1]), whole.prepare(pictures[:2])
    options: dict[str, Any] = {"max_new_tokens": 2, "do_sample": False}
    model: Any = whole.model
    recorder = Recorder(whole.model, whole.anatomy, inputs, **options)
    with recorder, pytest.raises(WatchError, match="very inputs"):
        model.generate(**other, **options, logits_processor=[recorder.logits_processor])
    recorder = Recorder(whole.model, whole.anatomy, inputs, **options)
    with recorder:
        sequences = model.generate(**inputs, **options)
    with pytest.raises(WatchError, match="must be those that were recorded"):
        recorder.transcripts(sequences)
