"""How much longer a caption takes under a policy: whole calls, on the small model and at size.

    python -m tests.benchmarks.bench_policy                       (the small model, 60 scenes)
    python -m tests.benchmarks.bench_policy --shape 0.7b --tokens 24 --rounds 11

The small model captions development scenes: plain ``generate``, watched, under a policy whose
threshold nothing reaches, and under one that acts. A random model of another shape has nothing to
flag: its captions are watched, and held under a policy. The arms run in random order for each
image or round, and each is compared with the plain arm of the same image; a second plain arm shows
the noise floor. On a CPU the time is that of the process, so that busy neighbours count less.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from sightline.calibration.scenes.render import render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.world import sample_scene
from sightline.detectors.svar import LayerRange
from sightline.detectors.threshold import SvarThreshold
from sightline.monitor.policy import Policy
from sightline.monitor.session import Monitor

from .bench_pair import word_tokenizer
from .workbench import SHAPES, build, environment, prompt, record, summary

STOP = Policy(act="stop", more=1, threshold=0.4)
UNREACHED = Policy(act="stop", threshold=2.0)


def arms(monitor: Monitor, *, acting: bool, **options: Any) -> dict[str, Callable[[Any], Any]]:
    """Ways to caption the same inputs."""
    model: Any = monitor.model

    def plain(inputs: Mapping[str, Any]) -> Any:
        return model.generate(**inputs, **options)

    def under(policy: Policy | None) -> Callable[[Any], Any]:
        return lambda inputs: monitor.generate(**inputs, policy=policy, **options)

    made = {"plain": plain, "again": plain, "watched": under(None), "unflagged": under(UNREACHED)}
    if acting:
        made["stop"] = under(STOP)
    return made


def compare(
    ways: Mapping[str, Callable[[Any], Any]], batches: Sequence[Any], device: torch.device
) -> dict[str, Any]:
    """Ratios to the plain arm, by image, and of the sums over all images."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    spent: dict[str, list[float]] = {name: [] for name in ways}
    ways["watched"](batches[0])  # nothing is made ready inside a timed call
    for inputs in batches:
        for name in random.sample(list(ways), len(ways)):
            start = clock()
            ways[name](inputs)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            spent[name].append(clock() - start)
    found: dict[str, Any] = {"plain_ms": summary(1000 * one for one in spent["plain"])}
    for name, times in spent.items():
        if name != "plain":
            pairs = zip(times, spent["plain"], strict=True)
            found[name] = summary(one / other for one, other in pairs)
            found[name]["of_sums"] = sum(times) / sum(spent["plain"])
    return found


def small(images: int) -> dict[str, Any]:
    """The small model on development scenes, with its own calibration."""
    monitor = Monitor.from_pretrained("small")
    scenes = [render(sample_scene(seed)).image for seed in seeds("development", images, start=3000)]
    batches = [monitor.prepare([scene]) for scene in scenes]
    ways = arms(monitor, acting=True, max_new_tokens=160)
    return compare(ways, batches, monitor.model.device)


def random_model(shape: str, *, tokens: int, rounds: int) -> dict[str, Any]:
    """A random model; its captions are as long as asked for, and nothing in them is flagged."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = SHAPES[shape]
    model = build(kind, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    # It would repeat itself, and a policy must know which token ends a caption.
    model.generation_config.update(repetition_penalty=10.0, eos_token_id=2)
    processor: Any = SimpleNamespace(tokenizer=word_tokenizer(kind.vocabulary))
    over = LayerRange.scaled(kind.layers)
    monitor = Monitor(model, processor, calibration=SvarThreshold(0.0, over))
    inputs = prompt(model, kind, images=1, batch=1)
    ways = arms(monitor, acting=False, max_new_tokens=tokens, min_new_tokens=tokens)
    return compare(ways, [inputs] * rounds, device)


def main() -> None:
    """Measure, and write ``results/policy-....json``."""
    parser = argparse.ArgumentParser(description="captions under a policy against plain ones")
    parser.add_argument("--shape", choices=SHAPES, help="a random model; default: the small one")
    parser.add_argument("--images", type=int, default=60, help="scenes for the small model")
    parser.add_argument("--tokens", type=int, default=24, help="of a random model's captions")
    parser.add_argument("--rounds", type=int, default=11, help="for a random model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.shape is None:
        name, result = "policy-small-model", small(options.images)
    else:
        name = f"policy-{options.shape}"
        result = random_model(options.shape, tokens=options.tokens, rounds=options.rounds)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(record(name, vars(options) | environment(device) | result).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
