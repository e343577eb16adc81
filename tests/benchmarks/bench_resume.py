"""How much longer a resumable generation takes than a plain call, and what a pause costs.

    python -m tests.benchmarks.bench_resume --shape small
    python -m tests.benchmarks.bench_resume --shape 0.7b --tokens 24
    python -m tests.benchmarks.bench_resume --shape 7b --images 5 --batch 8     (on a GPU)

Whole generations, prompt and pictures included, in random order within each round: plain,
resumable and never paused, resumable and paused every ``--every`` tokens, and paused there with
the latest four tokens taken back and decoded again. The ratio of each round to its plain arm is
reported as median and quartiles, beside a second plain arm that shows the noise floor. On a CPU
the time is that of the process, so that busy neighbours count less.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import torch
from sightline.monitor.decoding.resumable import ResumableGeneration
from sightline.monitor.decoding.step import Step
from torch import Tensor

from .workbench import SHAPES, build, environment, prompt, record, summary

BACK = 4


def compare(
    model: Any, inputs: dict[str, Tensor], *, tokens: int, every: int, rounds: int
) -> dict[str, Any]:
    """Ratios to a plain call over ``rounds`` rounds, and milliseconds per pause."""
    options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}

    def plain() -> int:
        model.generate(**inputs, **options)
        return tokens

    def whole() -> int:
        ResumableGeneration(model, inputs, options).advance()
        return tokens

    def paused() -> int:
        generation = ResumableGeneration(model, inputs, options)
        while generation.advance(_every(generation, every)) == "paused":
            pass
        return tokens

    def taken_back() -> int:
        generation = ResumableGeneration(model, inputs, options)
        steps, done = tokens, generation.prompt_length
        while generation.advance(_every(generation, every)) == "paused":
            if generation.length > done:
                done = generation.length
                generation.rollback(done - BACK)
                steps += BACK
        return steps

    arms: dict[str, Callable[[], int]] = {
        "plain": plain,
        "whole": whole,
        "paused": paused,
        "taken_back": taken_back,
        "again": plain,
    }
    clock = time.perf_counter if model.device.type == "cuda" else time.process_time
    steps = {name: arm() for name, arm in arms.items()}
    spent: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name in random.sample(list(arms), len(arms)):
            _wait(model.device)
            start = clock()
            arms[name]()
            _wait(model.device)
            spent[name].append(clock() - start)
    pauses = (tokens - 1) // every
    rows = list(zip(*(spent[name] for name in arms), strict=True))
    result: dict[str, Any] = {
        name: summary(row[index] / row[0] for row in rows)
        for index, name in enumerate(arms)
        if index
    }
    result["plain_ms"] = summary(1000 * row[0] for row in rows)
    result["pause_ms"] = summary(1000 * (row[2] - row[1]) / pauses for row in rows)
    result["taken_back_steps"] = steps["taken_back"] / tokens
    return result


def _every(generation: ResumableGeneration, every: int) -> Callable[[Step], bool]:
    first = generation.prompt_length

    def pause(step: Step) -> bool:
        return (step.position + 1 - first) % every == 0

    return pause


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure one shape and write ``results/resume-....json``."""
    parser = argparse.ArgumentParser(description="resumable generation against a plain call")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--every", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if device.type == "cpu":
        torch.set_num_threads(1)
    shape = SHAPES[options.shape]
    model = build(shape, device, dtype)
    inputs = prompt(model, shape, images=options.images, batch=options.batch)
    result = compare(
        model, inputs, tokens=options.tokens, every=options.every, rounds=options.rounds
    )
    name = f"resume-{shape.name}-{options.images * shape.image_tokens}-b{options.batch}"
    name = f"{name}-every{options.every}-{device.type}"
    path = record(name, vars(options) | environment(device) | result)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
