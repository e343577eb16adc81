"""How the cost of watching grows with layers, image tokens, batch and length; and with maps.

    python -m tests.benchmarks.bench_growth --shape 0.1b             (some ten minutes)
    python -m tests.benchmarks.bench_growth --shape 0.7b --rounds 3  (some two hours)
    python -m tests.benchmarks.bench_growth --figure                 (draws what was measured)

One thing grows at a time, the others stay at their first value. Beside the tap, on every point, is
the way without one: eager attention with ``output_attentions``. What counts is this thread's own
work, watched against plain, in turn within each round; on a GPU, the time by the clock.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor

from .bench_decode import compare
from .workbench import RESULTS, SHAPES, Shape, build, environment, prompt, record, tap_only

FIGURE = Path(__file__).parents[2] / "docs" / "pictures" / "growth.png"


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """What is measured: one value of each thing that can grow."""

    layers: int  # watched, of all
    image_tokens: int
    batch: int
    length: int  # text tokens before the first measured one


def points(depth: int, *, largest: bool) -> Iterator[tuple[str, Point]]:
    """Every axis by name, with its points; ``largest`` adds those that need much memory."""
    first = Point(layers=depth, image_tokens=64, batch=1, length=40)
    axes: Mapping[str, Sequence[int]] = {
        "layers": sorted({1, depth // 4, depth // 2, depth} - {0}),
        "image_tokens": (64, 576, 2880) if largest else (64, 576),
        "batch": (1, 4, 16) if largest else (1, 4),
        "length": (40, 256, 1024) if largest else (40, 256),
    }
    for axis, values in axes.items():
        for value in values:
            yield axis, dataclasses.replace(first, **{axis: value})


@contextmanager
def maps(model: Any, inputs: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
    """Attention maps of every layer, as transformers returns them."""
    before = model.config.get_text_config()._attn_implementation
    model.set_attn_implementation({"text_config": "eager"})
    try:
        yield {"output_attentions": True, "return_dict_in_generate": True}
    finally:
        model.set_attn_implementation({"text_config": before})


def measure(
    shape: Shape, point: Point, device: torch.device, *, tokens: int, rounds: int
) -> dict[str, Any]:
    """Ratios of the tap and of the maps at one point."""
    grid = 8 if point.image_tokens == 64 else 24
    placed = dataclasses.replace(shape, grid=grid)
    model = build(placed, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    images = point.image_tokens // placed.image_tokens
    inputs = prompt(model, placed, images=images, batch=point.batch)
    more = point.length - 40
    if more:
        text = torch.randint(5, placed.vocabulary - 5, (point.batch, more), device=device)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], text], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    watched = tap_only(f"0-{point.layers - 1}")
    tap = compare(model, inputs, watched, tokens=tokens, rounds=rounds)
    dense = compare(model, inputs, maps, tokens=tokens, rounds=rounds)
    kind = "" if device.type == "cuda" else "cpu_"
    return {
        "tap": tap[f"{kind}ratio"],
        "maps": dense[f"{kind}ratio"],
        "noise": tap[f"{kind}noise"],
        "plain_ms_per_token": tap["plain_ms_per_token"],
    }


def draw(path: Path) -> None:
    """One row of axes per result: cost above plain decoding, in percent, of tap and maps."""
    from matplotlib import ticker
    from matplotlib.figure import Figure

    results = [
        json.loads(file.read_text("utf-8")) for file in sorted(RESULTS.glob("growth-*.json"))
    ]
    if not results:
        raise SystemExit("There must be a result to draw: run without --figure first.")
    axes = ("layers", "image_tokens", "batch", "length")
    figure = Figure(figsize=(11, 2.6 * len(results)), layout="constrained")
    grid = figure.subplots(len(results), len(axes), squeeze=False, sharey="row")
    for row, result in zip(grid, results, strict=True):
        for axis, name in zip(row, axes, strict=True):
            some = [point for point in result["points"] if point["axis"] == name]
            places = [point[name] for point in some]
            for arm, label in (("tap", "watched"), ("maps", "output_attentions")):
                ratios = [point[arm] for point in some]
                middle = [100 * (ratio["median"] - 1) for ratio in ratios]
                low = [100 * (ratio["q1"] - 1) for ratio in ratios]
                high = [100 * (ratio["q3"] - 1) for ratio in ratios]
                (line,) = axis.plot(places, middle, marker="o", markersize=4, label=label)
                axis.fill_between(places, low, high, alpha=0.2, color=line.get_color())
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_locator(ticker.FixedLocator(places))
            axis.xaxis.set_major_formatter(ticker.ScalarFormatter())
            axis.xaxis.set_minor_locator(ticker.NullLocator())
            axis.set_yscale("symlog", linthresh=5)
            axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
            axis.set_xlabel(
                {"layers": "layers watched", "length": "text tokens"}.get(
                    name, name.replace("_", " ")
                )
            )
        row[0].set_ylabel(f"{result['shape']}: % above plain")
    grid[0][0].legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure one shape into ``results/growth-....json``, and draw all that were measured."""
    parser = argparse.ArgumentParser(description="growth of the cost of watching")
    parser.add_argument("--shape", choices=SHAPES, default="0.1b")
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="leave the largest points out")
    parser.add_argument("--figure", action="store_true", help="draw, and measure nothing")
    parser.add_argument("--picture", type=Path, default=FIGURE, help="where the figure goes")
    options = parser.parse_args()
    if not options.figure:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cpu":
            torch.set_num_threads(1)
        shape = SHAPES[options.shape]
        every = list(points(shape.layers, largest=not options.small))
        found: list[dict[str, Any]] = []
        done: dict[Point, dict[str, Any]] = {}
        for axis, point in track(every, description=f"growth, {shape.name}"):
            if point not in done:
                done[point] = measure(
                    shape, point, device, tokens=options.tokens, rounds=options.rounds
                )
            found.append({"axis": axis} | dataclasses.asdict(point) | done[point])
        known = {"shape": shape.name, "tokens": options.tokens, "rounds": options.rounds}
        result = known | environment(device) | {"points": found}
        print(record(f"growth-{shape.name}-{device.type}", result))
    draw(options.picture)
    print(options.picture)


if __name__ == "__main__":
    main()
