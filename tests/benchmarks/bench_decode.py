"""How much longer decoding takes while it is watched.

    python -m tests.benchmarks.bench_decode --shape small
    python -m tests.benchmarks.bench_decode --shape 0.7b --images 1 --tokens 24
    python -m tests.benchmarks.bench_decode --shape 7b --images 5 --batch 8     (on a GPU)

The prompt is read once into a cache; every run decodes the same tokens from a copy-free rollback
of it, plain and watched in turn, in random order within each round. The ratio of each round is
reported as median and quartiles, beside a second plain arm that shows the noise floor.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache

from .ownwork import own_work
from .workbench import Watch, decoding_parser, set_up, summary, tap_only


class Spent(NamedTuple):
    """Seconds per token."""

    clock: float  # on a busy machine, those of others too
    work: float  # this thread's
    own: float  # of those, in sightline's code


def read(model: Any, inputs: dict[str, Tensor]) -> Any:
    """The prompt, read into a cache; its last position is left to the first decoding step."""
    cache = DynamicCache(config=model.config.get_text_config())
    with torch.inference_mode():
        model(**inputs, past_key_values=cache, logits_to_keep=1)
    cache.crop(-1)
    return cache


def race(
    model: Any,
    inputs: dict[str, Tensor],
    cache: Any,
    watches: Mapping[str, Watch],
    *,
    tokens: int,
    rounds: int,
) -> dict[str, list[Spent]]:
    """Seconds per token of greedy decoding after a cached prompt, of every round.

    All that a watch does counts, before the first token and after the last. The cache is put back.
    Besides those of ``watches`` there are two arms that decode plainly: ``plain`` and ``again``.
    """
    text = {name: value for name, value in inputs.items() if name != "pixel_values"}

    def run(watch: Watch, length: int) -> Spent:
        _wait(model.device)
        start, worked, before = time.perf_counter(), time.thread_time(), own.seconds
        with watch(model, inputs) as options:
            model.generate(
                **text,
                past_key_values=cache,
                max_new_tokens=length,
                min_new_tokens=length,
                do_sample=False,
                **options,
            )
        _wait(model.device)
        spent = time.perf_counter() - start, time.thread_time() - worked, own.seconds - before
        cache.crop(-length)
        return Spent(*(seconds / length for seconds in spent))

    arms = {"plain": _plainly, **watches, "again": _plainly}
    spent: dict[str, list[Spent]] = {name: [] for name in arms}
    with own_work() as own, torch.inference_mode():
        for watch in arms.values():
            run(watch, min(tokens, 4))
        for _ in range(rounds):
            for name in random.sample(list(arms), len(arms)):
                spent[name].append(run(arms[name], tokens))
    return spent


def compare(
    model: Any,
    inputs: dict[str, Tensor],
    watch: Watch,
    *,
    tokens: int,
    rounds: int,
) -> dict[str, Any]:
    """Ratios watched / plain and plain / plain over ``rounds`` rounds, and time per token.

    ``cpu_ratio`` is the ratio of this thread's own work; with one thread and no GPU it is what the
    ratio would be on an idle machine. ``own_ratio`` is that of the watched runs alone, against what
    is left of them without sightline's code.
    """
    cache = read(model, inputs)
    spent = race(model, inputs, cache, {"watched": watch}, tokens=tokens, rounds=rounds)
    return {
        "ratio": ratio(spent, "watched", 0),
        "noise": ratio(spent, "again", 0),
        "cpu_ratio": ratio(spent, "watched", 1),
        "cpu_noise": ratio(spent, "again", 1),
        "own_ratio": own_ratio(spent, "watched"),
        "plain_ms_per_token": summary(1000 * plain[0] for plain in spent["plain"]),
        "watched_ms_per_token": summary(1000 * watched[0] for watched in spent["watched"]),
    }


def ratio(spent: Mapping[str, list[Spent]], arm: str, clock: int) -> dict[str, float]:
    """How much longer than plain decoding an arm of a race took, round by round.

    ``clock`` is 0 for the clock on the wall and 1 for the thread's own work.
    """
    rounds = zip(spent[arm], spent["plain"], strict=True)
    return summary(one[clock] / plain[clock] for one, plain in rounds)


def own_ratio(spent: Mapping[str, list[Spent]], arm: str) -> dict[str, float]:
    """How much longer an arm worked than it would have without sightline's code."""
    return summary(one.work / (one.work - one.own) for one in spent[arm])


@contextmanager
def _plainly(model: Any, inputs: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
    yield {}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure one shape and write ``results/decode-tap-....json``."""
    parser = decoding_parser("decoding, watched against plain")
    parser.add_argument("--layers", default="all", help="all, scaled, or a range such as 5-18")
    bench = set_up(parser.parse_args())
    options = bench.options
    watch = tap_only(options.layers)
    result = compare(bench.model, bench.inputs, watch, tokens=options.tokens, rounds=options.rounds)
    bench.record("decode-tap", result)


if __name__ == "__main__":
    main()
