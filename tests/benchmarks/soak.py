"""Thousands of captions in one process: does anything pile up, is anything left behind?

    python -m tests.benchmarks.soak                       (2,000 captions of the small model)
    python -m tests.benchmarks.soak --captions 200

Greedy, sampled, batched, searched, assisted and streamed captions take turns, with streams that
are left early and calls that fail in between, and every round two threads share the model. Memory
is the process's resident set, read after each round; its slope is Theil and Sen's, with a 95%
interval, over the rounds after the first fifth, in which caches fill.
"""

from __future__ import annotations

import argparse
import gc
import os
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from scipy.stats import theilslopes
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.report import Report
from sightline.monitor.session import Monitor
from sightline.monitor.watching.watch import Watch
from transformers import AttentionInterface, AttentionMaskInterface, StoppingCriteria

from .workbench import environment, record

_STATM = Path("/proc/self/statm")
_LENGTH: dict[str, Any] = {"max_new_tokens": 48}


@dataclass(slots=True)
class Soaked:
    """What a soak saw.

    Attributes:
        captions: how many were written.
        resident: MiB after each round, with the captions written by then.
        differing: captions whose report was another in a thread than alone.
        left: what was still there at the end, in words.
        seconds: how long it took.
    """

    captions: int = 0
    resident: list[tuple[int, float]] = field(default_factory=list)
    differing: int = 0
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def slope(self) -> tuple[float, float, float]:
        """KiB per caption after the first fifth, and its 95% interval."""
        late = self.resident[len(self.resident) // 5 :]
        captions, memory = zip(*late, strict=True)
        found: Any = theilslopes([1024 * mib for mib in memory], captions)
        return float(found.slope), float(found.low_slope), float(found.high_slope)


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


def soak(monitor: Monitor, pictures: Sequence[Image.Image], *, captions: int) -> Soaked:
    """Write captions in every way there is, until there are as many as asked for."""
    seen, traces, began = Soaked(), Traces(monitor.model), time.perf_counter()
    rounds = _rounds(monitor, pictures)
    while seen.captions < captions:
        written, differing = next(rounds)
        seen.captions += written
        seen.differing += differing
        if _STATM.exists():
            pages = int(_STATM.read_text(encoding="ascii").split()[1])
            seen.resident.append((seen.captions, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))
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


class _FailingError(Exception):
    """What a call that is meant to fail fails with."""


class _Failing(StoppingCriteria):
    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        raise _FailingError


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
        for inputs, way in ways:
            written += len(monitor.generate(**inputs, **_LENGTH, **way).reports)
        written += _streamed(monitor, other, early=bool(turn % 4))
        _fail(monitor, both)
        alone = [monitor.generate(**inputs, **_LENGTH).reports for inputs in (single, other)]
        together = in_threads(monitor, (single, other), **_LENGTH)
        pairs = zip(alone, together, strict=True)
        differing = sum(timeless(a[0]) != timeless(b[0]) for a, b in pairs)
        yield written + 4, differing


def _streamed(monitor: Monitor, inputs: Any, *, early: bool) -> int:
    with monitor.stream(**inputs, **_LENGTH) as events:
        for index, _ in enumerate(events):
            if early and index == 9:
                break
    return 1


def _fail(monitor: Monitor, inputs: Any) -> None:
    try:
        monitor.generate(**inputs, **_LENGTH, stopping_criteria=[_Failing()])
    except _FailingError:
        return
    raise AssertionError("A call that must fail did not.")


def main() -> None:
    """Soak the small model and write ``results/soak-small-....json``."""
    parser = argparse.ArgumentParser(description="thousands of captions in one process")
    parser.add_argument("--captions", type=int, default=2000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    monitor = Monitor.from_pretrained("small")
    pictures = [Image.effect_noise((96, 96), 20 + 5 * i).convert("RGB") for i in range(16)]
    seen = soak(monitor, pictures, captions=options.captions)
    slope, low, high = seen.slope()
    result = {
        "captions": seen.captions,
        "seconds": seen.seconds,
        "kib_per_caption": {"slope": slope, "low": low, "high": high},
        "resident_mib": {
            "first_fifth": seen.resident[len(seen.resident) // 5][1],
            "end": seen.resident[-1][1],
            "most": max(mib for _, mib in seen.resident),
        },
        "reports_differing_between_threads": seen.differing,
        "left_behind": seen.left,
    }
    device = torch.device("cpu")
    path = record("soak-small-cpu", vars(options) | environment(device) | result)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
