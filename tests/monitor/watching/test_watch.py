"""The pair inside the model's own generate: what it sees, what it changes (nothing), what fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.errors import WatchError
from sightline.monitor.events import Event, Token
from sightline.monitor.session import Monitor
from torch import Tensor
from transformers import (
    LlavaProcessor,
    LogitsProcessor,
)
from transformers.generation.streamers import BaseStreamer

Tiny = tuple[Any, LlavaProcessor]
Scripted = Callable[..., LogitsProcessor]


def test_the_pair_in_the_models_own_generate(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """Batched, with the documented three lines, as monitor.generate reports it."""
    model, _ = tiny
    inputs = monitor.prepare(pictures[:2], ["What?", "Describe it in every detail."])
    texts = (" A dog near two cats.", " Two wine glasses")
    with monitor.watch(inputs) as watch:
        output = model.generate(
            **inputs,
            max_new_tokens=30,
            logits_processor=[script(*texts), watch.logits_processor],
            streamer=watch.streamer,
        )
    assert watch.texts == texts
    other = monitor.generate(**inputs, max_new_tokens=30, logits_processor=[script(*texts)])
    assert torch.equal(output, other.sequences)
    for ours, theirs in zip(watch.reports, other.reports, strict=True):
        assert ours.mentions == theirs.mentions
        assert ours.tokens == theirs.tokens


def test_the_length_is_told_without_being_told_the_options(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """A watch that was not given max_new_tokens calls a caption without an end token cut."""
    inputs = monitor.prepare(pictures[:1])
    with monitor.watch(inputs) as watch:
        tiny[0].generate(
            **inputs,
            max_new_tokens=5,
            eos_token_id=None,
            logits_processor=[watch.logits_processor],
            streamer=watch.streamer,
        )
    (report,) = watch.reports
    assert (report.finish, len(report.tokens)) == ("length", 5)


@pytest.mark.parametrize("listening", [False, True])
def test_the_text_is_up_to_date_whenever_it_is_asked_for(
    tiny: Tiny,
    monitor: Monitor,
    pictures: list[Image.Image],
    script: Scripted,
    listening: bool,
) -> None:
    """Words wait while nobody listens; whoever asks in between gets all of them all the same."""
    text = " A dog near two cats on a bench."
    seen: list[tuple[str, int]] = []

    class Asking(BaseStreamer):
        def put(self, value: Tensor) -> None:
            if value.ndim == 1:
                (report,) = watch.reports
                seen.append((watch.texts[0], len(report.tokens)))

        def end(self) -> None: ...

    inputs = monitor.prepare(pictures[:1])
    events: list[Event] = []
    listener = events.append if listening else None
    with monitor.watch(inputs, streamer=Asking(), on_event=listener) as watch:
        tiny[0].generate(
            **inputs,
            max_new_tokens=60,
            logits_processor=[script(text), watch.logits_processor],
            streamer=watch.streamer,
        )
    assert [count for _, count in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][0] == watch.texts[0] == text
    assert all(text.startswith(so_far) for so_far, _ in seen)


def test_samples_of_one_prompt_are_told_apart(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """num_return_sequences works without being announced."""
    inputs = monitor.prepare(pictures[:2])
    torch.manual_seed(0)  # no pad token at an end, which would count as filling
    with monitor.watch(inputs) as watch:
        output = tiny[0].generate(
            **inputs,
            max_new_tokens=4,
            eos_token_id=None,
            do_sample=True,
            num_return_sequences=3,
            logits_processor=[watch.logits_processor],
            streamer=watch.streamer,
        )
    length = inputs["input_ids"].shape[1]
    got = [[token.id for token in report.tokens] for report in watch.reports]
    assert got == output[:, length:].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"use_cache": False},
        {"cache_implementation": "static"},
        {"output_hidden_states": True, "return_dict_in_generate": True},
        {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
        {"do_sample": True, "top_k": 5},
        {"min_new_tokens": 4, "max_length": 40},
        {"max_time": 60.0},
        {"renormalize_logits": True, "suppress_tokens": [40]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_that_can_be_honoured_are(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], options: Mapping[str, Any]
) -> None:
    """The same sequences as without a watch, and one piece of evidence per token."""
    inputs = monitor.prepare(pictures[:2], ["What?", "Describe it in every detail."])
    shared: dict[str, Any] = {"max_new_tokens": 8, **options}
    if "max_length" in shared:
        del shared["max_new_tokens"]
    torch.manual_seed(5)
    plain = tiny[0].generate(**inputs, **shared)
    torch.manual_seed(5)
    watched = monitor.generate(**inputs, **shared)
    sequences = plain if isinstance(plain, Tensor) else plain.sequences
    assert torch.equal(sequences, watched.sequences)
    for report in watched.reports:
        assert all(token.svar is not None and token.svar > 0 for token in report.tokens)


def test_evidence_does_not_depend_on_the_cache(
    monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """No cache, a dynamic one and a static one show the same attention."""
    inputs = monitor.prepare(pictures[:2], ["What?", "Describe it in every detail."])
    variants: list[dict[str, Any]] = [{}, {"use_cache": False}, {"cache_implementation": "static"}]
    reports = [
        monitor.generate(**inputs, max_new_tokens=6, eos_token_id=None, **variant).reports
        for variant in variants
    ]
    for row in range(2):
        first = [token.svar for token in reports[0][row].tokens]
        for other in reports[1:]:
            assert [token.svar for token in other[row].tokens] == pytest.approx(first, abs=1e-5)


def test_half_a_pair_is_refused(tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]) -> None:
    """Only the processor, or only the streamer: the error shows how to pass both."""
    inputs = monitor.prepare(pictures[:1])
    with monitor.watch(inputs) as watch, pytest.raises(WatchError, match="both halves"):
        tiny[0].generate(**inputs, max_new_tokens=3, logits_processor=[watch.logits_processor])
    with monitor.watch(inputs) as watch, pytest.raises(WatchError, match="both halves"):
        tiny[0].generate(**inputs, max_new_tokens=3, streamer=watch.streamer)


def test_other_inputs_than_watched_are_refused(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """The prompt that generate gets must be the one that watch got."""
    inputs = monitor.prepare(pictures[:1])
    others = monitor.prepare(pictures[:1], "Something else?")
    with monitor.watch(inputs) as watch, pytest.raises(WatchError, match="very inputs"):
        tiny[0].generate(
            **others,
            max_new_tokens=3,
            logits_processor=[watch.logits_processor],
            streamer=watch.streamer,
        )


def test_a_watch_covers_one_call(tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]) -> None:
    """A second generate inside, or entering again, asks for a new watch."""
    inputs = monitor.prepare(pictures[:1])

    def generate() -> None:
        tiny[0].generate(
            **inputs,
            max_new_tokens=3,
            logits_processor=[watch.logits_processor],
            streamer=watch.streamer,
        )

    with monitor.watch(inputs) as watch:
        generate()
        with pytest.raises(WatchError, match="one call"):
            generate()
    with pytest.raises(WatchError, match="one call"), watch:
        pass


def test_a_watch_that_is_not_open_is_refused(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """Using the pair outside of its block is an error, not silence."""
    inputs = monitor.prepare(pictures[:1])
    watch = monitor.watch(inputs)
    with pytest.raises(WatchError, match="entered first"):
        tiny[0].generate(
            **inputs,
            max_new_tokens=3,
            logits_processor=[watch.logits_processor],
            streamer=watch.streamer,
        )


def test_generate_in_another_thread_is_refused(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """The error says to open the watch where generate runs."""
    inputs = monitor.prepare(pictures[:1])
    raised: list[BaseException] = []

    def run() -> None:
        try:
            tiny[0].generate(
                **inputs,
                max_new_tokens=3,
                logits_processor=[watch.logits_processor],
                streamer=watch.streamer,
            )
        except WatchError as error:
            raised.append(error)

    with monitor.watch(inputs) as watch:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert len(raised) == 1
    assert "thread" in str(raised[0])


@pytest.mark.parametrize(
    "options",
    [{"num_beams": 2}, {"prompt_lookup_num_tokens": 2}, {"guidance_scale": 2.0}],
    ids=lambda options: next(iter(options)),
)
def test_modes_that_were_not_announced_fail_before_the_first_token(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], options: dict[str, Any]
) -> None:
    """Given to generate alone, what cannot be watched stops before any event."""
    inputs = monitor.prepare(pictures[:1])
    events: list[Event] = []
    if "guidance_scale" in options:
        options = {**options, "negative_prompt_ids": torch.tensor([[5, 6]])}
    with (
        monitor.watch(inputs, on_event=events.append) as watch,
        pytest.raises((WatchError, ValueError)),
    ):
        tiny[0].generate(
            **inputs,
            max_new_tokens=6,
            logits_processor=[watch.logits_processor],
            streamer=watch.streamer,
            **options,
        )
    assert not events


def test_one_transfer_a_step(
    monitor: Monitor, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch itself moves tensors to the host once per step, whatever the layers and rows, and
    masses at most as often."""
    from sightline.monitor.attention import late, measurement

    calls: list[int] = []
    collect = late.LateStep.collect

    def counted(step: late.LateStep, tokens: Tensor) -> measurement.Measurement:
        calls.append(1)
        return collect(step, tokens)

    monkeypatch.setattr(late.LateStep, "collect", counted)
    inputs = monitor.prepare(pictures)
    tokens: list[Token] = []
    monitor.generate(
        **inputs,
        max_new_tokens=5,
        eos_token_id=None,
        pad_token_id=1,
        on_event=lambda event: tokens.append(event) if isinstance(event, Token) else None,
    )
    assert len(calls) == 5
    assert len(tokens) == 15
    bases = {id(t.evidence.masses.base) for t in tokens if t.evidence is not None}
    assert 1 <= len(bases) <= 5
