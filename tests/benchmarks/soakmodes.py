"""The ways of decoding that a soak takes turns with, each by itself, watched and plain.

    python -m tests.benchmarks.soakmodes --mode beams --captions 200          (one JSON line)
    python -m tests.benchmarks.soakmodes --mode beams --captions 200 --plain

A process measures one mode: what memory does in it is not what another one left. So many captions
are written as they come, and half as many more with garbage collected and the allocator made to
give back what it keeps, every ten.

In the first hundreds of captions a few KiB each are CPython's: it keeps freed tuples, up to 2,000
of each size, to use them again. ``gc.collect()``, which finds no garbage then, gives them back, and
the longer a process runs the fewer are new; hence the second slope, and the long soak.
"""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import torch
from PIL import Image
from sightline.monitor.session import Monitor
from transformers import StoppingCriteria, TextIteratorStreamer

from .memory import Reading, slopes, span

LENGTH: Final[Mapping[str, Any]] = MappingProxyType({"max_new_tokens": 48})
_EARLY: Final = 9
# Captions between two readings, at least.
_ROUND: Final = 10


class FailingError(Exception):
    """What a call that is meant to fail fails with."""


class Failing(StoppingCriteria):
    """Fails ``generate`` after some steps."""

    def __init__(self, steps: int = 1) -> None:
        self._left = steps

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        self._left -= 1
        if self._left <= 0:
            raise FailingError
        return torch.zeros(len(input_ids), dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class Mode:
    """A way of decoding.

    Attributes:
        watched: writes captions of some pictures with a monitor watching; returns how many.
        plain: does the same with the model alone; ``None`` where a model alone cannot.
    """

    watched: Callable[[Monitor, Sequence[Image.Image]], int]
    plain: Callable[[Monitor, Sequence[Image.Image]], int] | None


def _generated(rows: int = 1, **options: Any) -> Mode:
    def watched(monitor: Monitor, pictures: Sequence[Image.Image]) -> int:
        inputs = monitor.prepare(pictures[:rows])
        return len(monitor.generate(**inputs, **LENGTH, **options).reports)

    def plain(monitor: Monitor, pictures: Sequence[Image.Image]) -> int:
        model: Any = monitor.model
        return len(model.generate(**monitor.prepare(pictures[:rows]), **LENGTH, **options))

    return Mode(watched, None if "policy" in options else plain)


def _streamed(monitor: Monitor, pictures: Sequence[Image.Image]) -> int:
    with monitor.stream(**monitor.prepare(pictures[:1]), **LENGTH) as events:
        for _ in events:
            pass
    return 1


def _streamed_plain(monitor: Monitor, pictures: Sequence[Image.Image]) -> int:
    streamer = TextIteratorStreamer(monitor.tokenizer)
    model: Any = monitor.model
    options = {**monitor.prepare(pictures[:1]), **LENGTH, "streamer": streamer}
    thread = threading.Thread(target=model.generate, kwargs=options)
    thread.start()
    for _ in streamer:
        pass
    thread.join()
    return 1


def _left(monitor: Monitor, pictures: Sequence[Image.Image]) -> int:
    with monitor.stream(**monitor.prepare(pictures[:1]), **LENGTH) as events:
        for index, _ in enumerate(events):
            if index == _EARLY:
                break
    return 1


def _failed(monitor: Monitor, pictures: Sequence[Image.Image]) -> int:
    inputs = monitor.prepare(pictures[:2])
    try:
        monitor.generate(**inputs, **LENGTH, stopping_criteria=[Failing(4)])
    except FailingError:
        return 2
    raise AssertionError("A call that must fail did not.")


def _failed_plain(monitor: Monitor, pictures: Sequence[Image.Image]) -> int:
    model: Any = monitor.model
    try:
        model.generate(**monitor.prepare(pictures[:2]), **LENGTH, stopping_criteria=[Failing(4)])
    except FailingError:
        return 2
    raise AssertionError("A call that must fail did not.")


def _two(one: Mode) -> Mode:
    """The same in two threads at once, begun anew for each."""

    def both(
        write: Callable[[Monitor, Sequence[Image.Image]], int],
    ) -> Callable[[Monitor, Sequence[Image.Image]], int]:
        def run(monitor: Monitor, pictures: Sequence[Image.Image]) -> int:
            written: list[int] = []
            threads = [
                threading.Thread(target=lambda some=some: written.append(write(monitor, some)))
                for some in (pictures[:1], pictures[1:2])
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if len(written) != 2:
                raise AssertionError("A thread failed.")
            return 2

        return run

    assert one.plain is not None
    return Mode(both(one.watched), both(one.plain))


MODES: Final[Mapping[str, Mode]] = MappingProxyType(
    {
        "greedy": _generated(),
        "batch": _generated(2),
        "sampled": _generated(do_sample=True),
        "several samples": _generated(2, do_sample=True, num_return_sequences=2),
        "beams": _generated(2, num_beams=3),
        "assisted": _generated(prompt_lookup_num_tokens=3),
        "policy: stop": _generated(policy="stop"),
        "policy: redecode": _generated(policy="redecode"),
        "streamed": Mode(_streamed, _streamed_plain),
        "streams left early": Mode(_left, None),
        "exceptions": Mode(_failed, _failed_plain),
        "two threads": _two(_generated()),
    }
)
"""By what results call them."""


def measure(
    write: Callable[[Monitor, Sequence[Image.Image]], int],
    monitor: Monitor,
    pictures: Sequence[Image.Image],
    *,
    captions: int,
) -> dict[str, Any]:
    """What memory does while one mode writes so many captions, and half as many trimmed."""
    count, turn = 0, 0
    found: dict[str, Any] = {}
    for name, most, trim in (
        ("as it is", captions, False),
        ("trimmed", captions + captions // 2, True),
    ):
        readings: list[Reading] = []
        while count < most:
            until = count + _ROUND
            while count < until:
                some = [pictures[(turn + step) % len(pictures)] for step in (0, 1)]
                count, turn = count + write(monitor, some), turn + 2
            readings.append(Reading.now(count, trim=trim))
        found[name] = {"kib_per_caption": slopes(readings), "resident_mib": span(readings)}
    return {"captions": count, **found}


def pictures_of(count: int = 16) -> list[Image.Image]:
    """Pictures that differ."""
    return [Image.effect_noise((96, 96), 20 + 5 * i).convert("RGB") for i in range(count)]


def main() -> None:
    """Measure one mode in this process and print the result as a line of JSON."""
    parser = argparse.ArgumentParser(description="what memory does in one mode of decoding")
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    mode = MODES[options.mode]
    write = mode.plain if options.plain else mode.watched
    if write is None:
        parser.error(f"A model alone has no mode {options.mode!r}.")
    monitor = Monitor.from_pretrained("small")
    print(json.dumps(measure(write, monitor, pictures_of(), captions=options.captions)))


if __name__ == "__main__":
    main()
