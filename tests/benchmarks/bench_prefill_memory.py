"""Peak memory of reading a prompt of 2,880 image tokens: plain, watched, with attention maps.

    python -m tests.benchmarks.bench_prefill_memory --shape 0.7b --images 5
    python -m tests.benchmarks.bench_prefill_memory --shape 0.7b --images 5 --depth 4

Each arm runs in a process of its own. What counts is the high-water mark from the moment the model
and its inputs are there: of the resident set on a CPU, of the allocator on a GPU; ``above`` is
what the prefill added to what was held before.
The maps of
``output_attentions`` need eager attention; ``--depth`` lowers the number of layers where the
machine is too small for them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from .workbench import SHAPES, build, environment, prompt, record, summary, tap_only

ARMS = ("plain", "watched", "maps")


def measure(options: argparse.Namespace) -> dict[str, float]:
    """One arm in this process: peak bytes while the prompt is read, and bytes held before."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if device.type == "cpu":
        torch.set_num_threads(1)
    shape = SHAPES[options.shape]
    if options.depth:
        shape = dataclasses.replace(shape, layers=options.depth)
    maps = options.arm == "maps"
    model = build(shape, device, dtype, "eager" if maps else "sdpa")
    inputs = prompt(model, shape, images=options.images, batch=options.batch)
    watch = tap_only("all")(model, inputs) if options.arm == "watched" else nullcontext({})
    before = restart_peak(device)
    with watch as extra:
        output = model.generate(
            **inputs,
            max_new_tokens=1,
            do_sample=False,
            output_attentions=maps,
            return_dict_in_generate=True,
            **extra,
        )
    if maps and output.attentions[0][0] is None:
        raise RuntimeError("The eager arm must return attention maps, returned none.")
    highest = peak(device)
    return {"peak": highest, "above": highest - before}


def restart_peak(device: torch.device) -> float:
    """Start the high-water mark anew; what is held now, in MiB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak(device)


def peak(device: torch.device) -> float:
    """The high-water mark, in MiB.

    Read from ``/proc``: what ``getrusage`` calls the maximum counts the parent process as well.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def _apart(arm: str) -> dict[str, Any]:
    command = [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--arm", arm]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The {arm} arm must finish, but it ended with:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure all arms in turn and write ``results/prefill-memory-....json``."""
    parser = argparse.ArgumentParser(description="prefill memory, watched against plain")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--depth", type=int, default=0, help="layers; the shape's own if 0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-maps", action="store_true", help="leave the eager arm out")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(measure(options)))
        return
    arms = ARMS[:2] if options.without_maps else ARMS
    peaks: dict[str, list[float]] = {arm: [] for arm in arms}
    above: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(options.rounds):
        for arm in arms:
            found = _apart(arm)
            peaks[arm].append(found["peak"])
            above[arm].append(found["above"])
    result: dict[str, Any] = {f"{arm}_peak_mib": summary(peaks[arm]) for arm in arms}
    result |= {f"{arm}_above_mib": summary(above[arm]) for arm in arms}
    for arm in arms[1:]:
        pairs = zip(peaks[arm], peaks["plain"], strict=True)
        result[f"{arm}_ratio"] = summary(one / plain for one, plain in pairs)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokens = options.images * SHAPES[options.shape].image_tokens
    name = f"prefill-memory-{options.shape}-{tokens}-b{options.batch}"
    name += f"-depth{options.depth}" if options.depth else ""
    settings = {key: value for key, value in vars(options).items() if key != "arm"}
    path = record(f"{name}-{device.type}", settings | environment(device) | result)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
