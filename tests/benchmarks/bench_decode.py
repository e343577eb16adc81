"""How much longer decoding takes while it is watched.

    python -m tests.benchmarks.bench_decode --shape small
    python -m tests.benchmarks.bench_decode --shape 0.7b --images 1 --tokens 24
    python -m tests.benchmarks.bench_decode --shape 7b --images 5 --batch 8     (on a GPU)

The prompt is read once into a cache; every run decodes the same tokens from a copy-free rollback
of it, plain and watched in turn, in random order within each round. The ratio of each round is
reported as median and quartiles, beside a second plain arm that shows the noise floor.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from .workbench import (
    SHAPES,
    Watch,
    build,
    environment,
    prompt,
    record,
    summary,
    tap_only,
)


def decode(model: Any, inputs: dict[str, Tensor], cache: Any, tokens: int, **options: Any) -> float:
    """Seconds per token of greedy decoding after a cached prompt; the cache is put back."""
    text = {name: value for name, value in inputs.items() if name != "pixel_values"}
    _wait(model.device)
    start = time.perf_counter()
    model.generate(
        **text,
        past_key_values=cache,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        **options,
    )
    _wait(model.device)
    spent = time.perf_counter() - start
    cache.crop(-tokens)
    return spent / tokens


def compare(
    model: Any,
    inputs: dict[str, Tensor],
    watch: Watch,
    *,
    tokens: int,
    rounds: int,
) -> dict[str, Any]:
    """Ratios watched / plain and plain / plain over ``rounds`` rounds, and seconds per token."""
    cache = DynamicCache(config=model.config.get_text_config())
    with torch.inference_mode():
        model(**inputs, past_key_values=cache, logits_to_keep=1)
        # The last prompt position is left to the first decoding step, as generate expects.
        cache.crop(-1)

        def plain() -> float:
            return decode(model, inputs, cache, tokens)

        def watched() -> float:
            with watch(model, inputs) as options:
                return decode(model, inputs, cache, tokens, **options)

        arms = {"plain": plain, "watched": watched, "again": plain}
        for arm in arms.values():
            arm()
        spent: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(rounds):
            for name in random.sample(list(arms), len(arms)):
                spent[name].append(arms[name]())
    pairs = list(zip(spent["plain"], spent["watched"], spent["again"], strict=True))
    return {
        "ratio": summary(watched / plain for plain, watched, _ in pairs),
        "noise": summary(again / plain for plain, _, again in pairs),
        "plain_ms_per_token": summary(1000 * plain for plain, _, _ in pairs),
        "watched_ms_per_token": summary(1000 * watched for _, watched, _ in pairs),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure one shape and write ``results/decode-....json``."""
    parser = argparse.ArgumentParser(description="decoding, watched against plain")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--layers", default="all", help="all, scaled, or a range such as 5-18")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if device.type == "cpu":
        torch.set_num_threads(1)
    shape = SHAPES[options.shape]
    model = build(shape, device, dtype)
    inputs = prompt(model, shape, images=options.images, batch=options.batch)
    result = compare(
        model, inputs, tap_only(options.layers), tokens=options.tokens, rounds=options.rounds
    )
    name = f"decode-tap-{shape.name}-{options.images * shape.image_tokens}-b{options.batch}"
    name = f"{name}-{options.layers}-{device.type}"
    path = record(name, vars(options) | environment(device) | result)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
