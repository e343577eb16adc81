"""What looking again at a caption costs: seconds and memory, against the bare pass and decoding.

    python -m tests.benchmarks.bench_inspection --shape 0.1b
    python -m tests.benchmarks.bench_inspection --shape 0.1b --images 5

Each arm runs in a process of its own: ``pass``, the model reads prompt and caption at once and
nobody looks; ``attention``, the rows of the caption's nouns are read; ``lens``, the image tokens
too, in every layer; ``decode``, the caption is written, for comparison. Seconds are of the CPU,
``above`` is what the arm added to the memory that was held before, at its highest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import torch
from sightline.monitor.inspection.forward import look
from sightline.monitor.models.anatomy import Anatomy

from .bench_prefill_memory import peak, restart_peak
from .workbench import SHAPES, build, environment, prompt, record, summary

ARMS = ("pass", "attention", "lens", "decode")


def measure(options: argparse.Namespace) -> dict[str, float]:
    """One arm in this process."""
    device = torch.device("cpu")
    torch.set_num_threads(1)
    shape = SHAPES[options.shape]
    model = build(shape, device, torch.float32)
    inputs = prompt(model, shape, images=options.images, batch=1)
    caption = torch.randint(5, shape.vocabulary - 5, (options.tokens,)).tolist()
    rows = list(range(3, options.tokens, options.tokens // options.nouns))[: options.nouns]
    anatomy = Anatomy.of(model)
    before, began = restart_peak(device), time.process_time()
    if options.arm == "decode":
        model.generate(**inputs, max_new_tokens=options.tokens, do_sample=False)
    elif options.arm == "pass":
        ids = torch.cat([inputs["input_ids"], torch.tensor([caption])], dim=1)
        given = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.no_grad():
            model(**given, logits_to_keep=1, use_cache=False)
    else:
        asked = None if options.arm == "attention" else [caption[row] for row in rows]
        look(anatomy, inputs, caption, rows, asked=asked)
    seconds = time.process_time() - began
    return {"seconds": seconds, "above_mib": peak(device) - before}


def main() -> None:
    """Measure all arms in turn and write ``results/inspection-....json``."""
    parser = argparse.ArgumentParser(description="what looking again at a caption costs")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=80, help="of the caption")
    parser.add_argument("--nouns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(measure(options)))
        return
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for _ in range(options.rounds):
        for arm in ARMS:
            command = [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--arm", arm]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[arm].append(json.loads(done.stdout.splitlines()[-1]))
    result: dict[str, Any] = {
        f"{arm}_{name}": summary(run[name] for run in runs)
        for arm, runs in found.items()
        for name in ("seconds", "above_mib")
    }
    tokens = options.images * SHAPES[options.shape].image_tokens
    settings = {key: value for key, value in vars(options).items() if key != "arm"}
    path = record(
        f"inspection-{options.shape}-{tokens}-cpu",
        settings | environment(torch.device("cpu")) | result,
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
