"""Thousands of captions in one process: does anything pile up, is anything left behind?

    python -m tests.benchmarks.soak                       (2,000 captions of the small model)
    python -m tests.benchmarks.soak --captions 200 --each 0

Greedy, sampled, batched, searched, assisted, streamed and rewritten captions take turns, with
streams that are left early and calls that fail in between, and every round two threads share the
model. Memory is read after each round: what is resident, and what is in use of it. Slopes are Theil
and Sen's, with 95% intervals, over the rounds after the first fifth, in which caches fill; a
quarter as many captions follow with the allocator made to give back after each round what it keeps.
Then every way of decoding is measured by itself, watched and plain, each in a fresh process.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.report import Report
from sightline.monitor.session import Monitor
from sightline.monitor.watching.watch import Watch
from transformers import AttentionInterface, AttentionMaskInterface

from .memory import Reading, slopes, span
from .soakmodes import LENGTH, MODES, Failing, FailingError, pictures_of
from .workbench import environment, record


@dataclass(slots=True)
class Soaked:
    """What a soak saw.

    Attributes:
        captions: how many were written.
        readings: of memory, after each round.
        trimmed: the same of the rounds after which the allocator gave back what it kept.
        differing: captions whose report was another in a thread than alone.
        left: what was still there at the end, in words.
        seconds: how long it took.
    """

    captions: int = 0
    readings: list[Reading] = field(default_factory=list)
    trimmed: list[Reading] = field(default_factory=list)
    differing: int = 0
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Traces:
    """What a model and transformers' registries look like, to be held against them later."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._before = self._look()
        # Not this soak's: what a failed test's traceback keeps, for one. Held, so ids stay theirs.
        self._others = self._alive()

    def left(self) -> list[str]:
        """What is there now that was not there before, living objects of ours included."""
        now = self._look()
        changed = [name for name in now if self._before.get(name) != now[name]]
        others = set(map(id, self._others))
        alive = [f"a living {type(one).__name__}" for one in self._alive() if id(one) not in others]
        threads = [t.name for t in threading.enumerate() if t.name.startswith("sightline")]
        return [*changed, *alive, *threads]

    @staticmethod
    def _alive() -> list[object]:
        gc.collect()
        return [o for o in gc.get_objects() if issubclass(type(o), (Watch, AttentionTap))]

    def _look(self) -> dict[str, object]:
        seen: dict[str, object] = {
            "attention functions": sorted(AttentionInterface().valid_keys()),
            "mask functions": sorted(AttentionMaskInterface().valid_keys()),
        }
        for name, module in self._model.named_modules():
            seen[f"config of {name!r}"] = id(vars(module).get("config"))
            seen[f"forward of {name!r}"] = id(vars(module).get("forward"))
            hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
            ours = [h for h in hooks if str(getattr(h, "__module__", "")).startswith("sightline")]
            seen[f"hooks of {name!r}"] = len(ours)
        return seen


def soak(
    monitor: Monitor, pictures: Sequence[Image.Image], *, captions: int, trimmed: int = 0
) -> Soaked:
    """Write captions in every way there is, until there are as many as asked for.

    Args:
        monitor: of the model that writes.
        pictures: taken in turn.
        captions: at least so many.
        trimmed: so many more, with the allocator made to give back what it keeps.
    """
    seen, traces, began = Soaked(), Traces(monitor.model), time.perf_counter()
    rounds = _rounds(monitor, pictures)
    while seen.captions < captions + trimmed:
        trim = seen.captions >= captions
        written, differing = next(rounds)
        seen.captions += written
        seen.differing += differing
        readings = seen.trimmed if trim else seen.readings
        readings.append(Reading.now(seen.captions, trim=trim))
    rounds.close()
    seen.left = traces.left()
    seen.seconds = time.perf_counter() - began
    return seen


def in_threads(
    monitor: Monitor, prompts: Sequence[Any], **options: Any
) -> tuple[tuple[Report, ...], ...]:
    """The reports of each prompt, all written at the same time, by a thread each.

    Raises:
        BaseException: the first that was raised in a thread.
    """
    found: list[tuple[Report, ...] | BaseException] = [()] * len(prompts)
    gate = threading.Barrier(len(prompts))

    def write(place: int) -> None:
        try:
            gate.wait(timeout=60)
            found[place] = monitor.generate(**prompts[place], **options).reports
        except BaseException as error:
            found[place] = error

    threads = [threading.Thread(target=write, args=(place,)) for place in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reports = []
    for one in found:
        if isinstance(one, BaseException):
            raise one
        reports.append(one)
    return tuple(reports)


def timeless(report: Report) -> dict[str, Any]:
    """A report but for its timings."""
    return report.model_dump(exclude={"timings"})


def _rounds(
    monitor: Monitor, pictures: Sequence[Image.Image]
) -> Generator[tuple[int, int], None, None]:
    """Captions written in a round, and those whose report differed between threads."""
    turn = 0
    while True:
        one, two = (pictures[(turn + step) % len(pictures)] for step in (0, 1))
        turn += 2
        single, other = monitor.prepare([one]), monitor.prepare([two])
        both = monitor.prepare([one, two])
        written = 0
        ways: tuple[tuple[Any, dict[str, Any]], ...] = (
            (single, {}),
            (both, {}),
            (both, {"do_sample": True, "num_return_sequences": 2}),
            (both, {"num_beams": 3}),
            (other, {"prompt_lookup_num_tokens": 3}),
        )
        if monitor.calibration is not None:
            ways = (*ways, (both, {"policy": "stop"}), (single, {"policy": "redecode"}))
        for inputs, way in ways:
            written += len(monitor.generate(**inputs, **LENGTH, **way).reports)
        written += _streamed(monitor, other, early=bool(turn % 4))
        _fail(monitor, both)
        alone = [monitor.generate(**inputs, **LENGTH).reports for inputs in (single, other)]
        together = in_threads(monitor, (single, other), **LENGTH)
        pairs = zip(alone, together, strict=True)
        differing = sum(timeless(a[0]) != timeless(b[0]) for a, b in pairs)
        yield written + 4, differing


def _streamed(monitor: Monitor, inputs: Any, *, early: bool) -> int:
    with monitor.stream(**inputs, **LENGTH) as events:
        for index, _ in enumerate(events):
            if early and index == 9:
                break
    return 1


def _fail(monitor: Monitor, inputs: Any) -> None:
    try:
        monitor.generate(**inputs, **LENGTH, stopping_criteria=[Failing()])
    except FailingError:
        return
    raise AssertionError("A call that must fail did not.")


def by_mode(*, captions: int) -> dict[str, Any]:
    """Each way of decoding by itself, watched and where there is such a thing plain.

    Raises:
        CalledProcessError: a process failed.
    """
    found: dict[str, Any] = {}
    for name, mode in MODES.items():
        found[name] = {}
        for kind in ("watched", "plain"):
            if kind == "plain" and mode.plain is None:
                continue
            command = [sys.executable, "-m", "tests.benchmarks.soakmodes", "--mode", name]
            command += ["--captions", str(captions), *(["--plain"] if kind == "plain" else [])]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[name][kind] = json.loads(done.stdout.splitlines()[-1])
            print(name, kind, done.stdout.strip(), file=sys.stderr)
    return found


def main() -> None:
    """Soak the small model and write ``results/soak-small-....json``."""
    parser = argparse.ArgumentParser(description="thousands of captions in one process")
    parser.add_argument("--captions", type=int, default=2000)
    parser.add_argument("--each", type=int, default=120, help="captions of each way by itself")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {}
    if options.captions:
        monitor = Monitor.from_pretrained("small")
        most = options.captions
        seen = soak(monitor, pictures_of(), captions=most, trimmed=most // 4)
        result = {
            "captions": seen.captions,
            "seconds": round(seen.seconds, 1),
            "kib_per_caption": slopes(seen.readings),
            "resident_mib": span(seen.readings),
            "trimmed": {
                "kib_per_caption": slopes(seen.trimmed),
                "resident_mib": span(seen.trimmed),
            },
            "reports_differing_between_threads": seen.differing,
            "left_behind": seen.left,
        }
    if options.each:
        result["modes"] = by_mode(captions=options.each)
    device = torch.device("cpu")
    path = record("soak-small-cpu", vars(options) | environment(device) | result)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
