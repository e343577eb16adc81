"""What goes wrong under a policy: the original is given back, the model is left as it was found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sightline.monitor.errors import NonFiniteError, OptionError
from sightline.monitor.events import Event
from sightline.monitor.policy import Intervention, Policy
from sightline.monitor.session import Monitor
from torch import Tensor
from transformers import LogitsProcessor

from .small import CLEAN, FLAGGED, LIMIT, captions, events_of, hooks, inputs, plain, same_row, small


class _Breaks(LogitsProcessor):
    """Raises when a position is reached for the second time: inside a re-decode."""

    def __init__(self, error: BaseException, *, times: int = 1) -> None:
        self.error, self.times = error, times
        self.furthest = 0

    def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
        length = input_ids.shape[1]
        if length <= self.furthest and self.times:
            self.times -= 1
            raise self.error
        self.furthest = max(length, self.furthest)
        return scores


@pytest.mark.parametrize(
    "error",
    [RuntimeError("broken"), torch.OutOfMemoryError("CUDA out of memory"), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_inside_a_redecode_gives_the_original_back(error: Exception) -> None:
    """Flagged, with the reason; the caption goes on to its end, and the model is as found."""
    before = hooks(small().model)
    which = (FLAGGED, 1, CLEAN)
    result = captions(Policy(otherwise="stop"), *which, logits_processor=[_Breaks(error)])
    kept = [a for report in result.reports for a in report.actions if a.outcome == "kept"]
    assert kept
    assert type(error).__name__ in kept[0].reason
    assert kept[0].old == kept[0].new
    assert kept[0].tries[-1].result == "error"
    row = next(i for i, report in enumerate(result.reports) if report.actions[:1] == (kept[0],))
    assert any(m.action == "flag" for m in result.reports[row].mentions)
    assert same_row(result.sequences, plain(*which), 2)
    assert hooks(small().model) == before
    assert torch.equal(plain(FLAGGED), plain(FLAGGED))


def test_an_interrupt_gives_the_original_back_and_is_raised_on() -> None:
    """Who streams has the reports of what was there, with the original text."""
    before = hooks(small().model)
    stream = small().stream(
        **inputs(FLAGGED),
        max_new_tokens=LIMIT,
        policy="redecode",
        logits_processor=[_Breaks(KeyboardInterrupt())],
    )
    with pytest.raises(KeyboardInterrupt), stream:
        for _ in stream:
            pass
    (report,) = stream.watch.reports
    (action,) = report.actions
    assert report.finish == "interrupted"
    assert action.outcome == "kept"
    assert "KeyboardInterrupt" in action.reason
    assert report.text.strip().endswith(action.old)
    assert any(mention.flagged for mention in report.mentions)
    assert hooks(small().model) == before


def test_a_fault_outside_is_raised_as_it_is() -> None:
    """Nothing was being decoded again: there is no original to give back."""

    class Poison(LogitsProcessor):
        def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
            raise RuntimeError("poison")

    before = hooks(small().model)
    with pytest.raises(RuntimeError, match="poison"):
        captions("redecode", FLAGGED, logits_processor=[Poison()])
    assert hooks(small().model) == before


def test_a_fault_in_one_row_does_not_lose_another_rows_flag() -> None:
    """While one row is decoded again, the others are judged as before."""
    which = (FLAGGED, 1, 2, CLEAN)
    whole = captions("stop", *which)
    broken = captions(
        Policy(otherwise="stop", max_tries=1),
        *which,
        logits_processor=[_Breaks(RuntimeError("broken"))],
    )
    for before, after in zip(whole.reports, broken.reports, strict=True):
        assert bool(before.actions) == bool(after.actions)


def test_what_a_listener_raises_is_raised_on() -> None:
    """Also while another row is decoded again: it is no fault of the decoding."""
    count = sum(1 for _ in events_of("redecode", "live", FLAGGED, 1, CLEAN)[0])
    before = hooks(small().model)
    for place in range(20, count, 45):
        seen: list[Event] = []

        def listen(event: Event, seen: list[Event] = seen, place: int = place) -> None:
            seen.append(event)
            if len(seen) == place:
                raise ConnectionError("gone")

        with pytest.raises(ConnectionError, match="gone"):
            captions("redecode", FLAGGED, 1, CLEAN, on_event=listen, show="live")
        assert len(seen) == place
    assert hooks(small().model) == before


def test_a_closed_stream_stops_redecoding() -> None:
    """The model is as it was found, and nothing waits for the rest."""
    before = hooks(small().model)
    stream = small().stream(**inputs(*range(6)), max_new_tokens=LIMIT, policy="redecode")
    next(stream)
    stream.close()
    assert hooks(small().model) == before
    assert list(stream) == []


def test_nan_under_a_policy_is_an_error_as_without() -> None:
    """A distribution that holds nothing is not judged."""
    head: Any = small().model.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, args, out: out * float("nan"))
    try:
        with pytest.raises(NonFiniteError):
            captions("redecode", FLAGGED)
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_beams": 2}, "num_beams"),
        ({"prompt_lookup_num_tokens": 3}, "prompt-lookup"),
        ({"cache_implementation": "quantized"}, "quantized"),
        ({"use_cache": False}, "use_cache"),
        ({"eos_token_id": None}, "needs a token that ends them"),
    ],
)
def test_what_cannot_be_taken_back_is_refused_before_decoding(
    options: dict[str, Any], says: str
) -> None:
    """With the reason, by generate and by stream alike, and without a forward pass."""
    passes: list[int] = []
    hook = small().model.register_forward_hook(lambda *_: passes.append(1))
    model: Any = small().model
    eos = model.generation_config.eos_token_id
    if "eos_token_id" in options:
        model.generation_config.eos_token_id = None
    try:
        with pytest.raises(OptionError, match=says):
            captions("redecode", FLAGGED, **options)
        with pytest.raises(OptionError, match=says):
            small().stream(**inputs(FLAGGED), policy="stop", max_new_tokens=LIMIT, **options)
    finally:
        hook.remove()
        model.generation_config.eos_token_id = eos
    assert not passes


def test_a_policy_that_cannot_act_is_refused(monitor: Monitor, pictures: Any) -> None:
    """Without a calibration, in a plain watch, on layers that are not there, with a streamer."""
    with pytest.raises(OptionError, match="has no calibration"):
        monitor.generate(**monitor.prepare(pictures[:1]), policy="stop")
    with pytest.raises(OptionError, match="only watches"):
        small().watch(inputs(FLAGGED), policy="stop")
    deep = Policy(tries=(Intervention(alpha=1.0, layers=(4, 40)),))
    with pytest.raises(OptionError, match="cannot act on this model"):
        captions(deep, FLAGGED)
    with pytest.raises(OptionError, match="streamer"):
        captions("stop", FLAGGED, streamer=object())
    with pytest.raises(ValueError, match="policy must be"):
        captions("rewrite", FLAGGED)
