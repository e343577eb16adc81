"""Steps that wait to be read show what they would have shown at once, and keep nothing."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sightline.detectors.evidence import Evidence
from sightline.monitor.attention.deferred import DeferredTap
from sightline.monitor.errors import NonFiniteError
from sightline.monitor.events import Event, Token, Verdict
from sightline.monitor.report import Report
from sightline.monitor.session import Monitor
from torch import Tensor
from transformers import DynamicCache, LlavaProcessor, LogitsProcessor

Tiny = tuple[Any, LlavaProcessor]
Scripted = Callable[..., LogitsProcessor]
LONG = " A dog and a cat sit on a red couch beside a bicycle, a bus and two birds on a table." * 3


@pytest.fixture
def drains(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps each reading brought."""
    counts: list[int] = []
    drain = DeferredTap.drain

    def counted(tap: DeferredTap) -> tuple[Tensor, ...]:
        masses = drain(tap)
        counts.append(len(masses))
        return masses

    monkeypatch.setattr(DeferredTap, "drain", counted)
    return counts


def _svar(report: Report) -> list[float | None]:
    return [token.svar for token in report.tokens]


@pytest.mark.parametrize("options", [{}, {"cache_implementation": "static"}], ids=["grows", "full"])
def test_quiet_reports_are_those_of_a_listener(
    monitor: Monitor,
    pictures: list[Image.Image],
    script: Scripted,
    drains: list[int],
    options: dict[str, Any],
) -> None:
    """Rows of several lengths: every token's SVAR to rounding, all else to the letter."""
    inputs = monitor.prepare(pictures[:2])
    both = [LONG, " A cat."]
    quiet = monitor.generate(
        **inputs, max_new_tokens=70, logits_processor=[script(*both)], **options
    ).reports
    assert drains == [32, 32, 6]
    seen: list[Token] = []
    heard = monitor.generate(
        **inputs,
        max_new_tokens=70,
        logits_processor=[script(*both)],
        on_event=lambda event: seen.append(event) if isinstance(event, Token) else None,
        **options,
    ).reports
    assert len(seen) == sum(len(report.tokens) for report in quiet)
    for one, other in zip(quiet, heard, strict=True):
        assert _svar(one) == pytest.approx(_svar(other), abs=1e-6)
        for mine, theirs in zip(one.mentions, other.mentions, strict=True):
            assert mine.svar == pytest.approx(theirs.svar, abs=1e-6)
        rough = {"tokens": (), "mentions": (), "timings": None}
        assert one.model_copy(update=rough) == other.model_copy(update=rough)


def test_for_a_listener_steps_are_read_at_nouns(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted, drains: list[int]
) -> None:
    """A verdict brings all that waited until then; no noun, no walk through the keys."""
    read: list[tuple[Event, int]] = []
    (report,) = monitor.generate(
        **monitor.prepare(pictures[:1]),
        max_new_tokens=60,
        logits_processor=[script(" A dog runs and it runs by a cat.")],
        on_event=lambda event: read.append((event, sum(drains))),
    ).reports
    before, tokens = 0, 0
    for event, steps in read:
        tokens += isinstance(event, Token)
        # A verdict on a token that was read with its neighbours reads nothing.
        assert steps in ((before, tokens) if isinstance(event, Verdict) else (before,))
        before = steps
    assert drains[0] > 1
    assert 2 <= len(drains) <= len(report.mentions) + 1
    assert sum(drains) == len(report.tokens)


def test_a_noun_of_a_row_is_read_in_that_row(
    monitor: Monitor,
    pictures: list[Image.Image],
    script: Scripted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others' keys are not walked through for it, and what a row was first read as stays."""
    asked: list[set[int]] = []
    read = DeferredTap.read

    def noted(tap: DeferredTap, rows: Sequence[int], steps: Sequence[int]) -> Tensor:
        asked.append(set(rows))
        return read(tap, rows, steps)

    monkeypatch.setattr(DeferredTap, "read", noted)
    verdicts: list[Verdict] = []
    reports = monitor.generate(
        **monitor.prepare(pictures[:3]),
        max_new_tokens=60,
        logits_processor=[script(" It runs and runs by it.", " A cat runs by it.", " It runs.")],
        on_event=lambda event: verdicts.append(event) if isinstance(event, Verdict) else None,
    ).reports
    first = verdicts[0].row
    assert asked[0] == {first}
    assert asked[-1] == {0, 1, 2}
    for verdict in verdicts:
        report = reports[verdict.row]
        mention = report.mentions[verdict.mention]
        assert report.tokens[mention.first_token].svar == mention.svar == verdict.svar


def test_a_listener_may_look_at_every_token(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted, drains: list[int]
) -> None:
    """Then each step is read as it happens."""
    seen: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, Token) and event.evidence is not None:
            seen.append(float(event.evidence.masses.sum(axis=2).mean()))

    (report,) = monitor.generate(
        **monitor.prepare(pictures[:1]),
        max_new_tokens=60,
        logits_processor=[script(" A dog sits.")],
        on_event=listen,
    ).reports
    assert drains == [1] * len(report.tokens)
    assert seen == pytest.approx([1.0] * len(report.tokens), abs=1e-5)


def test_evidence_that_waits_is_evidence(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """It can be copied, changed, pickled and shown, and lets go of the model once it was read."""
    kept: list[Evidence] = []

    def listen(event: Event) -> None:
        if isinstance(event, Token) and event.evidence is not None:
            kept.append(event.evidence)

    monitor.generate(
        **monitor.prepare(pictures[:1]),
        max_new_tokens=60,
        logits_processor=[script(" It runs.")],
        on_event=listen,
    )
    first = kept[0]
    others = [copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))]
    others.append(dataclasses.replace(first, log_prob=first.log_prob))
    for other in others:
        assert isinstance(other, Evidence)
        assert other.layers == first.layers
        assert other.log_prob == first.log_prob
        assert np.array_equal(other.masses, first.masses)
        assert np.array_equal(other.var, first.var)
    assert "masses=array" in repr(first)
    with pytest.raises(AttributeError, match="no attribute 'mass'"):
        first.mass  # type: ignore[attr-defined]  # noqa: B018


def test_an_interrupted_caption_has_the_evidence_of_all_its_tokens(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """What waited when generate was broken off is read as the block is left."""
    model, _ = tiny
    inputs = monitor.prepare(pictures[:1])

    class BreakingOff(LogitsProcessor):
        steps = 0

        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            self.steps += 1
            if self.steps > 5:
                raise KeyboardInterrupt
            return scores

    watch = monitor.watch(inputs, max_new_tokens=20)
    with pytest.raises(KeyboardInterrupt), watch:
        model.generate(
            **inputs,
            max_new_tokens=20,
            eos_token_id=None,
            logits_processor=[watch.logits_processor, BreakingOff()],
            streamer=watch.streamer,
        )
    (report,) = watch.reports
    assert report.finish == "interrupted"
    assert len(report.tokens) == 5
    assert all(token.svar is not None for token in report.tokens)


def test_the_cache_is_not_kept(tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]) -> None:
    """When the block is left, nothing of the watch holds the keys that it was read from."""
    model, _ = tiny
    inputs = monitor.prepare(pictures[:1])
    cache = DynamicCache(config=model.config.get_text_config())
    gone = weakref.ref(cache)
    with monitor.watch(inputs, max_new_tokens=4) as watch:
        model.generate(
            **inputs,
            past_key_values=cache,
            max_new_tokens=4,
            logits_processor=[watch.logits_processor],
            streamer=watch.streamer,
        )
    del cache
    gc.collect()
    assert gone() is None
    assert watch.reports[0].tokens


def _cut(cache: DynamicCache) -> None:
    cache.crop(5 - cache.get_seq_length())


def _emptied(cache: DynamicCache) -> None:
    cache.layers.clear()


@pytest.mark.parametrize("spoil", [_cut, _emptied])
def test_a_cache_that_was_spoiled_leaves_tokens_unknown(
    tiny: Tiny,
    monitor: Monitor,
    pictures: list[Image.Image],
    spoil: Callable[[DynamicCache], None],
) -> None:
    """Somebody has the cache inside the block, before it was read: no number is made up."""
    model, _ = tiny
    inputs = monitor.prepare(pictures[:1])
    cache = DynamicCache(config=model.config.get_text_config())

    class Cutting(LogitsProcessor):
        def __init__(self, cache: DynamicCache) -> None:
            self.cache, self.steps = cache, 0

        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            self.steps += 1
            if self.steps == 4:
                spoil(self.cache)
                raise KeyboardInterrupt
            return scores

    cutting = Cutting(cache)
    watch = monitor.watch(inputs, max_new_tokens=20)
    with pytest.raises(KeyboardInterrupt), watch:
        model.generate(
            **inputs,
            past_key_values=cache,
            max_new_tokens=20,
            eos_token_id=None,
            logits_processor=[watch.logits_processor, cutting],
            streamer=watch.streamer,
        )
    (report,) = watch.reports
    assert [token.svar for token in report.tokens] == [None, None, None]
    gone = weakref.ref(cache)
    del cache, cutting
    gc.collect()
    assert gone() is None
    assert watch.texts
    assert all(token.log_prob is not None for token in report.tokens)


def test_another_thread_may_ask_for_reports(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """While generate writes, what is there is read without disturbing it."""
    model, _ = tiny
    inputs = monitor.prepare(pictures[:1])
    seen: list[Report] = []

    class Asking(LogitsProcessor):
        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            thread = threading.Thread(target=lambda: seen.extend(watch.reports))
            thread.start()
            thread.join()
            return scores

    plain = model.generate(**inputs, max_new_tokens=6, eos_token_id=None)
    with monitor.watch(inputs, max_new_tokens=6) as watch:
        output = model.generate(
            **inputs,
            max_new_tokens=6,
            eos_token_id=None,
            logits_processor=[watch.logits_processor, Asking()],
            streamer=watch.streamer,
        )
    assert torch.equal(plain, output)
    assert [len(report.tokens) for report in seen] == list(range(6))
    final = _svar(watch.reports[0])
    for report in seen:
        assert _svar(report) == final[: len(report.tokens)]


def test_a_row_without_a_distribution_is_refused_at_its_step(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """What waits does not put off the error."""
    model, _ = tiny
    inputs = monitor.prepare(pictures[:1])
    passes = 0

    def spoil(module: object, args: object, output: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == 3:
            output.logits[:] = torch.nan

    hook = model.register_forward_hook(spoil)
    try:
        with pytest.raises(NonFiniteError, match="generated token 2 in row 0"):
            monitor.generate(**inputs, max_new_tokens=9, eos_token_id=None)
    finally:
        hook.remove()
    assert passes == 3
