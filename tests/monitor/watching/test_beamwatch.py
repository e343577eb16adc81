"""Beam search, watched: the sequences of plain generate, each with its own ancestors' evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.errors import NonFiniteError, OptionError, WatchError
from sightline.monitor.events import End, Event
from sightline.monitor.session import Monitor
from sightline.monitor.watching.beamwatch import BeamWatch
from sightline.monitor.watching.watch import Watch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import TextStreamer

from ..families import build
from ..teacher import Heard, check_evidence, same

Tiny = tuple[Any, Any]
Scripted = Callable[..., LogitsProcessor]

SEARCHES: list[dict[str, Any]] = [
    {"num_beams": 2},
    {"num_beams": 4, "num_return_sequences": 3},
    {"num_beams": 3, "length_penalty": -2.0, "num_return_sequences": 3},
    {"num_beams": 3, "early_stopping": True},
    {"num_beams": 3, "early_stopping": "never", "length_penalty": 2.0},
    {"num_beams": 4, "do_sample": True, "num_return_sequences": 2, "temperature": 2.0},
    {"num_beams": 3, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
    {"num_beams": 3, "use_cache": False},
    {"num_beams": 3, "cache_implementation": "static"},
]


def _name(options: dict[str, Any]) -> str:
    return "-".join(map(str, list(options.items())[-1]))


@pytest.mark.parametrize("search", SEARCHES, ids=_name)
def test_a_search_returns_what_plain_generate_returns(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], search: dict[str, Any]
) -> None:
    """Sequences, scores, logits and beams bitwise; each token's evidence is that of a clean pass
    over its own sequence, which no other beam's would be."""
    inputs = monitor.prepare(pictures[:2], ["What?", "Describe it in every detail."])
    # Many ways to end, so that hypotheses finish at different steps.
    shared: dict[str, Any] = {
        **search,
        "max_new_tokens": 10,
        "eos_token_id": list(range(2, 480, 9)),
        "return_dict_in_generate": True,
        "output_scores": True,
        "output_logits": True,
    }
    heard = Heard()
    torch.manual_seed(3)
    plain = tiny[0].generate(**inputs, **shared)
    torch.manual_seed(3)
    watched = monitor.generate(**inputs, **shared, on_event=heard.append)
    same(plain, watched.output, ("scores", "logits", "sequences_scores", "beam_indices"))
    copies = search.get("num_return_sequences", 1)
    assert len(watched.reports) == len(plain.sequences) == 2 * copies
    compared = check_evidence(monitor, inputs, plain.sequences, heard, copies)
    lengths = (plain.beam_indices >= 0).sum(1).tolist()
    assert [len(report.tokens) for report in watched.reports] == lengths
    assert compared == sum(lengths) > 0
    for report in watched.reports:
        last = report.tokens[-1].id
        assert report.finish == ("eos" if last in shared["eos_token_id"] else "length")
        assert report.timings.total is not None


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "gemma3", "aya_vision", "internvl"])
def test_families_are_searched_alike(name: str, tiny: Tiny) -> None:
    """Sliding windows, several position axes and other towers: the same bits, the right rows."""
    family: Any = build(name)
    monitor = Monitor(family.model, tiny[1])
    shared: dict[str, Any] = {
        "num_beams": 3,
        "num_return_sequences": 2,
        "max_new_tokens": 6,
        "eos_token_id": [7, 40, 41, 90],
        "return_dict_in_generate": True,
        "output_scores": True,
        "output_logits": True,
    }
    heard = Heard()
    plain = family.model.generate(**family.inputs, **shared)
    watched = monitor.generate(**family.inputs, **shared, on_event=heard.append)
    same(plain, watched.output, ("scores", "logits", "sequences_scores", "beam_indices"))
    assert check_evidence(monitor, family.inputs, plain.sequences, heard, 2) > 8


def test_a_tensor_stays_a_tensor(tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]) -> None:
    """What was not asked for is not given, whether options are given one by one or as a config,
    which stays as it was."""
    inputs = monitor.prepare(pictures[:1])
    config = GenerationConfig(num_beams=2, max_new_tokens=5, pad_token_id=0, eos_token_id=2)
    before = config.to_dict()
    ways: tuple[dict[str, Any], ...] = (
        {"num_beams": 2, "max_new_tokens": 5},
        {"generation_config": config},
    )
    for options in ways:
        plain = tiny[0].generate(**inputs, **options)
        watched = monitor.generate(**inputs, **options)
        same(plain, watched.output)
        assert isinstance(watched.output, Tensor)
        assert watched.reports[0].settings["num_beams"] == 2
    assert config.to_dict() == before


def test_the_small_model_searches_with_verdicts() -> None:
    """Words, mentions and verdicts of the shipped model, as reading the same tokens greedily
    gives them: the best of one beam is what greedy decoding writes."""
    monitor = Monitor.from_pretrained("small")
    picture = Image.effect_noise((96, 96), 90).convert("RGB")
    inputs = monitor.prepare([picture])
    options: dict[str, Any] = {"max_new_tokens": 40}
    plain = monitor.model.generate(**inputs, num_beams=3, num_return_sequences=3, **options)  # type: ignore[operator]
    events: list[Event] = []
    found = monitor.generate(
        **inputs, num_beams=3, num_return_sequences=3, on_event=events.append, **options
    )
    assert torch.equal(plain, found.sequences)
    # Each is told again, forced token by token through ordinary decoding.
    prompt = inputs["input_ids"].shape[1]
    for row, report in enumerate(found.reports):
        ids = [token.id for token in report.tokens]
        forced = monitor.generate(**inputs, **options, logits_processor=[_Forced(ids, prompt)])
        (again,) = forced.reports
        assert again.text == report.text == found.texts[row]
        assert [m.word for m in again.mentions] == [m.word for m in report.mentions]
        assert report.mentions
        for one, other in zip(again.mentions, report.mentions, strict=True):
            assert one.flagged == other.flagged
            assert one.probability == pytest.approx(other.probability, abs=1e-3)
            assert one.svar == pytest.approx(other.svar, abs=1e-4)
    assert [event.row for event in events if isinstance(event, End)] == [0, 1, 2]


class _Forced(LogitsProcessor):
    def __init__(self, ids: list[int], prompt: int) -> None:
        self._ids = ids
        self._prompt = prompt

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        forced = torch.full_like(scores, -torch.inf)
        forced[:, self._ids[input_ids.shape[1] - self._prompt]] = 0.0
        return forced


def test_the_users_own_call_of_generate(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """By plug_into, and with the parts written out; finish gives what was announced."""
    inputs = monitor.prepare(pictures[:2])
    search: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 6}
    plain = tiny[0].generate(**inputs, **search)
    with monitor.watch(inputs, **search) as watch:
        assert isinstance(watch, BeamWatch)
        assert watch.texts == ()
        sequences = watch.finish(tiny[0].generate(**watch.plug_into({**inputs, **search})))
    assert torch.equal(plain, sequences)
    with monitor.watch(inputs, **search) as other:
        assert isinstance(other, BeamWatch)
        output = tiny[0].generate(
            **inputs,
            **search,
            logits_processor=[other.logits_processor],
            stopping_criteria=[other.stopping_criterion],
            return_dict_in_generate=True,
        )
    assert torch.equal(other.finish(output), plain)
    for one, two in zip(watch.reports, other.reports, strict=True):
        assert (one.tokens, one.mentions) == (two.tokens, two.mentions)


def test_texts_and_rules_of_the_users_end_hypotheses(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """Stop strings and criteria of one's own may end a beam at any token: it is known all the
    same."""

    class Odd(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
            return input_ids[:, -1] % 11 == 3

    inputs = monitor.prepare(pictures[:1])
    rules: tuple[dict[str, Any], ...] = (
        {"stopping_criteria": [Odd()]},
        {"stop_strings": ["e", "a", "o"]},
    )
    for rule in rules:
        shared: dict[str, Any] = {
            "num_beams": 3,
            "num_return_sequences": 3,
            "max_new_tokens": 12,
            "suppress_tokens": [3],  # an image token that no picture belongs to
        }
        heard = Heard()
        plain = tiny[0].generate(**inputs, **shared, **rule, tokenizer=monitor.tokenizer)
        watched = monitor.generate(**inputs, **shared, **rule, on_event=heard.append)
        assert torch.equal(plain, watched.sequences)
        assert check_evidence(monitor, inputs, plain, heard, 3) > 0
        assert "stopped" in [report.finish for report in watched.reports]


def test_a_lens_looks_along_each_beam(tiny: Tiny, pictures: list[Image.Image]) -> None:
    """Confidence and contributions are those of forced ordinary decoding."""
    monitor = Monitor(*tiny, name="tiny", lens=True)
    inputs = monitor.prepare(pictures[:1])
    heard, again = Heard(), Heard()
    search: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 6, "eos_token_id": None}
    plain = tiny[0].generate(**inputs, **search)
    found = monitor.generate(**inputs, **search, on_event=heard.append)
    assert torch.equal(plain, found.sequences)
    prompt = inputs["input_ids"].shape[1]
    ids = plain[0, prompt:].tolist()
    monitor.generate(
        **inputs,
        max_new_tokens=6,
        eos_token_id=None,
        logits_processor=[_Forced(ids, prompt)],
        on_event=again.append,
    )
    for one, other in zip(heard.tokens(0), again.tokens(0), strict=True):
        assert one.evidence is not None
        assert other.evidence is not None
        assert one.evidence.confidence == pytest.approx(other.evidence.confidence, abs=1e-5)
        torch.testing.assert_close(
            torch.tensor(one.evidence.contributions),
            torch.tensor(other.evidence.contributions),
            rtol=1e-4,
            atol=1e-4,
        )


# --- misuse and faults --------------------------------------------------------------------------


def test_what_cannot_be_told_before_the_end_is_refused(
    monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """No stream, no streamer; the reason is in the error."""
    inputs = monitor.prepare(pictures[:1])
    with pytest.raises(OptionError, match="nothing to stream"):
        monitor.stream(**inputs, num_beams=2)
    with pytest.raises(OptionError, match="takes no streamer"):
        monitor.generate(**inputs, num_beams=2, streamer=TextStreamer(monitor.tokenizer))


def test_a_policy_that_acts_refuses_a_search(pictures: list[Image.Image]) -> None:
    """Beams cannot be rolled back."""
    monitor = Monitor.from_pretrained("small")
    inputs = monitor.prepare(pictures[:1])
    with pytest.raises(OptionError, match="num_beams=2"):
        monitor.generate(**inputs, num_beams=2, policy="stop")


def test_half_a_watch_is_refused(tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]) -> None:
    """Without the criterion, without the dict, twice, or with another call's output."""
    inputs = monitor.prepare(pictures[:1])
    search: dict[str, Any] = {"num_beams": 2, "max_new_tokens": 4, "eos_token_id": None}
    with monitor.watch(inputs, **search) as watch:
        output = tiny[0].generate(
            **inputs,
            **search,
            logits_processor=[watch.logits_processor],
            return_dict_in_generate=True,
        )
        with pytest.raises(WatchError, match=r"watch.plug_into\(arguments\)"):
            watch.finish(output)
    with monitor.watch(inputs, **search) as watch:
        done = tiny[0].generate(**watch.plug_into({**inputs, **search}))
        with pytest.raises(WatchError, match="which beams"):
            watch.finish(done.sequences)
        watch.finish(done)
        with pytest.raises(WatchError, match="called once"):
            watch.finish(done)
    longer = {**search, "max_new_tokens": 9}
    other = tiny[0].generate(**inputs, **longer, return_dict_in_generate=True)
    with monitor.watch(inputs, **search) as watch:
        tiny[0].generate(**watch.plug_into({**inputs, **search}))
        with pytest.raises(WatchError, match="this very call"):
            watch.finish(other)


def test_a_search_that_was_not_announced_is_refused(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """The error says how to announce it."""
    inputs = monitor.prepare(pictures[:1])
    watch = monitor.watch(inputs)
    assert type(watch) is Watch
    with watch, pytest.raises(WatchError, match="num_beams="):
        tiny[0].generate(**inputs, num_beams=2, logits_processor=[watch.logits_processor])


@pytest.mark.parametrize("do_sample", [False, True])
def test_unusable_logits_are_an_error(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], do_sample: bool
) -> None:
    """Whether the search raises over NaN or goes on with it."""
    inputs = monitor.prepare(pictures[:2])
    passes = 0

    def spoil(module: object, args: object, output: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == 3:
            output.logits[2:] = torch.nan  # both beams of the second prompt

    hook = tiny[0].register_forward_hook(spoil)
    try:
        with pytest.raises(NonFiniteError) as caught:
            monitor.generate(
                **inputs, num_beams=2, max_new_tokens=5, eos_token_id=None, do_sample=do_sample
            )
    finally:
        hook.remove()
    assert (caught.value.row, caught.value.step) == (1, 2)
