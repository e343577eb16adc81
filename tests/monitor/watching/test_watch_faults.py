"""What goes wrong inside a watched generate: the model and the reports afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.errors import NonFiniteError
from sightline.monitor.events import Event
from sightline.monitor.session import Monitor
from torch import Tensor
from transformers import (
    LlavaProcessor,
    LogitsProcessor,
    StoppingCriteria,
)
from transformers.generation.streamers import BaseStreamer

Tiny = tuple[Any, LlavaProcessor]
Scripted = Callable[..., LogitsProcessor]


class InjectedError(Exception):
    """What the injected parts raise."""


class FaultyProcessor(LogitsProcessor):
    """Raises at its third call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == 3:
            raise InjectedError
        return scores


class FaultyCriterion(StoppingCriteria):
    """Raises at its third call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **_: Any) -> Any:
        self.calls += 1
        if self.calls == 3:
            raise InjectedError
        return torch.zeros(len(input_ids), dtype=torch.bool)


class FaultyStreamer(BaseStreamer):
    """Raises at its third put, the prompt's included."""

    def __init__(self) -> None:
        self.calls = 0

    def put(self, value: Tensor) -> None:
        self.calls += 1
        if self.calls == 3:
            raise InjectedError

    def end(self) -> None:
        return None


def faulty_consumer() -> Callable[[Event], None]:
    """Raises at the third event."""
    calls = 0

    def consume(event: Event) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InjectedError

    return consume


FAULTS: dict[str, Callable[[], dict[str, Any]]] = {
    "processor": lambda: {"logits_processor": [FaultyProcessor()]},
    "criterion": lambda: {"stopping_criteria": [FaultyCriterion()]},
    "streamer": lambda: {"streamer": FaultyStreamer()},
    "consumer": lambda: {"on_event": faulty_consumer()},
}


@pytest.mark.parametrize("place", FAULTS)
def test_after_a_fault_the_model_is_as_it_was(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], place: str
) -> None:
    """The fault surfaces, and the next plain generate is bitwise what it was before."""
    model, _ = tiny
    inputs = monitor.prepare(pictures[:2])
    shared: dict[str, Any] = {
        "max_new_tokens": 6,
        "eos_token_id": None,
        "pad_token_id": 1,
        "output_scores": True,
        "return_dict_in_generate": True,
    }
    plain = model.generate(**inputs, **shared)
    with pytest.raises(InjectedError):
        monitor.generate(**inputs, **shared, **FAULTS[place]())
    after = model.generate(**inputs, **shared)
    assert torch.equal(plain.sequences, after.sequences)
    assert all(map(torch.equal, plain.scores, after.scores))
    again = monitor.generate(**inputs, **shared).output
    assert torch.equal(plain.sequences, again.sequences)


def test_finished_rows_are_reported_after_a_fault(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """A row that had ended keeps its whole report; the other says that it was interrupted."""
    inputs = monitor.prepare(pictures[:2])
    length = inputs["input_ids"].shape[1]

    class Late(LogitsProcessor):
        def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
            if input_ids.shape[1] - length == 8:
                raise InjectedError
            return scores

    watch = monitor.watch(inputs)
    with pytest.raises(InjectedError), watch:
        tiny[0].generate(
            **inputs,
            max_new_tokens=30,
            logits_processor=[
                script(" A dog", " A woman rides a bicycle past the bus stop in the background"),
                Late(),
                watch.logits_processor,
            ],
            streamer=watch.streamer,
        )
    short, long = watch.reports
    assert (short.finish, short.text) == ("eos", " A dog")
    assert (long.finish, len(long.tokens)) == ("interrupted", 8)


def test_nan_in_a_row_that_has_ended_is_nobodys_business(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """Logits of filling are not looked at; those of a live row are."""
    inputs = monitor.prepare(pictures[:2])
    passes = 0

    def spoil(module: Any, args: Any, output: Any) -> None:
        nonlocal passes
        passes += 1
        if passes > 6:
            output.logits[0] = torch.nan

    hook = monitor.model.register_forward_hook(spoil)
    try:
        texts = (" A dog", " A woman rides a bicycle past the bus")
        result = monitor.generate(**inputs, max_new_tokens=30, logits_processor=[script(*texts)])
        assert result.texts == texts
        passes = 0
        with pytest.raises(NonFiniteError, match="row 0"):
            monitor.generate(
                **inputs, max_new_tokens=30, logits_processor=[script(texts[1], texts[0])]
            )
    finally:
        hook.remove()


def test_what_was_written_before_an_error_is_in_the_report(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """An error in between finds words that wait: the interrupted report has them."""

    class Failing(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
            if input_ids.shape[1] == length + 3:
                raise ZeroDivisionError
            return torch.zeros(len(input_ids), dtype=torch.bool)

    inputs = monitor.prepare(pictures[:1])
    length = inputs["input_ids"].shape[1]
    with pytest.raises(ZeroDivisionError), monitor.watch(inputs) as watch:
        tiny[0].generate(
            **inputs,
            max_new_tokens=60,
            logits_processor=[script(" A dog near two cats."), watch.logits_processor],
            streamer=watch.streamer,
            stopping_criteria=[Failing()],
        )
    (report,) = watch.reports
    # The stopping criteria are asked before the streamer is told.
    assert (report.finish, len(report.tokens)) == ("interrupted", 2)
