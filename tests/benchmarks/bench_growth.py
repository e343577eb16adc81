"""How the cost of watching grows: with layers, image tokens, batch and length.

    python -m tests.benchmarks.bench_growth --shape 0.1b                     (some ten minutes)
    python -m tests.benchmarks.bench_growth --shape 0.7b --rounds 3          (some forty minutes)
    python -m tests.benchmarks.bench_growth --shape 1.5b --rounds 3 --grid
    python -m tests.benchmarks.bench_growth --show          (all that was measured, in docs/)

Plain decoding, the whole monitor, the same with a listener on every event, and the way without one
(eager attention that returns its maps, ``output_attentions``) take turns within each round. Prompts
are read once and copied for the rows of a batch. What counts is this thread's work; on a GPU, the
time by the clock. Two runs differ by chance, so what a watched run spends in sightline's code is
set against the rest of the same run too (``ownwork.py``). A point whose cache does not fit into
free memory is left out and named; ``--missing`` measures those alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from rich.progress import track
from sightline.calibration.reporting.comparison_views import update
from sightline.detectors.svar import LayerRange
from sightline.monitor.events import Event
from sightline.monitor.session import Monitor
from torch import Tensor

from .bench_decode import own_ratio, race, ratio, read
from .bench_pair import listen, word_tokenizer
from .workbench import (
    RESULTS,
    SHAPES,
    Shape,
    Watch,
    build,
    environment,
    prompt,
    record,
    steady_heap,
    summary,
)

PAGE = Path(__file__).parents[2] / "docs" / "speed.md"
FIGURE = PAGE.parent / "pictures" / "growth.png"
AXES = ("layers", "image_tokens", "batch", "length")
_ARMS = (("heard_own", "with a listener", "tab:green"), ("watched_own", "watched", "tab:blue"))
_TEXT = 40  # text tokens of a prompt


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """What is measured: one value of each thing that can grow."""

    layers: int  # watched, of all
    image_tokens: int
    batch: int
    length: int  # text tokens before the first measured one


def points(depth: int, *, grid: bool) -> Iterator[Point]:
    """Every batch with every number of image tokens; but for ``grid``, layers and length too."""
    first = Point(len(LayerRange.scaled(depth).layers), image_tokens=576, batch=1, length=_TEXT)
    yield from (
        dataclasses.replace(first, batch=batch, image_tokens=image_tokens)
        for image_tokens in (576, 2880)
        for batch in (1, 4, 16)
    )
    if grid:
        return
    yield from (dataclasses.replace(first, layers=layers) for layers in (1, depth // 4, depth))
    yield from (dataclasses.replace(first, length=length) for length in (256, 1024))


def fits(shape: Shape, point: Point, device: torch.device) -> bool:
    """Whether there is room for keys and values, grown layer by layer, and a little more."""
    if device.type == "cuda":
        width, free = 2, torch.cuda.mem_get_info(device)[0]
    else:
        width, free = 4, os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    positions = point.batch * (point.image_tokens + point.length)
    return 2 * shape.layers * shape.hidden * width * positions * 1.1 < 0.95 * free


@contextmanager
def maps(model: Any, inputs: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
    """Attention maps of every layer, as transformers returns them."""
    before = model.config.get_text_config()._attn_implementation
    model.set_attn_implementation({"text_config": "eager"})
    try:
        yield {"output_attentions": True, "return_dict_in_generate": True}
    finally:
        model.set_attn_implementation({"text_config": before})


class Workbench:
    """One model, whose points are measured one after the other."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self._shape = shape
        self._device = device
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self._model = build(shape, device, dtype)
        # Left alone, a random model repeats itself, and its caption would be one word.
        self._model.generation_config.update(repetition_penalty=10.0)
        self._processor: Any = SimpleNamespace(tokenizer=word_tokenizer(shape.vocabulary))

    def measure(self, point: Point, *, tokens: int, rounds: int) -> dict[str, Any]:
        """Ratios of the monitor and of the maps at one point."""
        inputs = self._prompt(point)
        cache = read(self._model, inputs)
        if point.batch > 1:
            cache.batch_repeat_interleave(point.batch)
            inputs = {
                name: value.repeat_interleave(point.batch, dim=0) for name, value in inputs.items()
            }
        depth = self._shape.layers
        first = (depth - point.layers) // 2
        usual = point.layers == len(LayerRange.scaled(depth).layers)
        monitor = Monitor(
            self._model,
            self._processor,
            layers=None if usual else LayerRange(first, first + point.layers - 1, "user"),
        )

        def watched(listener: Callable[[Event], None] | None) -> Watch:
            @contextmanager
            def watch(model: Any, inputs: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
                with monitor.watch(inputs, on_event=listener) as watch:
                    yield {"logits_processor": [watch.logits_processor], "streamer": watch.streamer}

            return watch

        arms: dict[str, Watch] = {"watched": watched(None), "heard": watched(listen), "maps": maps}
        if point.batch == 1:
            rounds *= 3  # they are shorter, and rather noisier
        spent = race(self._model, inputs, cache, arms, tokens=tokens, rounds=rounds)
        clock = 0 if self._device.type == "cuda" else 1
        return {
            "tokens": tokens,
            "watched": ratio(spent, "watched", clock),
            "heard": ratio(spent, "heard", clock),
            "watched_own": own_ratio(spent, "watched"),
            "heard_own": own_ratio(spent, "heard"),
            "maps": ratio(spent, "maps", clock),
            "noise": ratio(spent, "again", clock),
            "watched_by_the_clock": ratio(spent, "watched", 0),
            "plain_ms_per_token": summary(1000 * plain[clock] for plain in spent["plain"]),
        }

    def _prompt(self, point: Point) -> dict[str, Tensor]:
        shape = self._shape
        images = point.image_tokens // shape.image_tokens
        inputs = prompt(self._model, shape, images=images, batch=1)
        if more := point.length - _TEXT:
            text = torch.randint(5, shape.vocabulary - 5, (1, more), device=self._device)
            inputs["input_ids"] = torch.cat([inputs["input_ids"], text], dim=1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        return inputs


def draw(path: Path) -> None:
    """One row of axes per result: sightline's own code, in percent of the rest of the same run."""
    from matplotlib import ticker
    from matplotlib.figure import Figure

    results = _results()
    figure = Figure(figsize=(11, 2.6 * len(results)), layout="constrained")
    grid = figure.subplots(len(results), len(AXES), squeeze=False, sharey=True)
    for row, result in zip(grid, results, strict=True):
        first = result["points"][0]
        for axis, name in zip(row, AXES, strict=True):
            others = [other for other in AXES if other != name]
            some = sorted(
                (p for p in result["points"] if all(p[other] == first[other] for other in others)),
                key=lambda p: p[name],
            )
            places = [point[name] for point in some]
            if len(places) == 1:
                axis.set_axis_off()  # this shape has the grid alone
                continue
            for arm, label, colour in _ARMS:
                ratios = [point[arm] for point in some]
                middle = [100 * (ratio["median"] - 1) for ratio in ratios]
                low = [100 * (ratio["q1"] - 1) for ratio in ratios]
                high = [100 * (ratio["q3"] - 1) for ratio in ratios]
                axis.plot(places, middle, marker="o", markersize=4, label=label, color=colour)
                axis.fill_between(places, low, high, alpha=0.2, color=colour, linewidth=0)
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_locator(ticker.FixedLocator(places))
            axis.xaxis.set_major_formatter(ticker.ScalarFormatter())
            axis.xaxis.set_minor_locator(ticker.NullLocator())
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_xlabel(
                {"layers": "layers watched", "length": "text tokens"}.get(
                    name, name.replace("_", " ")
                )
            )
        leftmost = next(axis for axis in row if axis.axison)
        leftmost.set_ylabel(f"{result['shape'].upper()}: own code, %")
        leftmost.tick_params(labelleft=True)
    grid[0][0].set_ylim(bottom=0)  # of all axes
    grid[0][0].legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def table() -> str:
    """Markdown: what the monitor and the maps cost at each batch and number of image tokens."""
    lines = [
        "| model | image tokens | batch | ms per step | own code | with a listener "
        "| run against run | `output_attentions` | noise |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for result in _results():
        first = result["points"][0]
        for point in sorted(result["points"], key=lambda p: (p["image_tokens"], p["batch"])):
            if (point["layers"], point["length"]) != (first["layers"], first["length"]):
                continue
            cells = [f"{point[own]['median']:.3f}" for own in ("watched_own", "heard_own")]
            cells += [_cell(point[arm]) for arm in ("watched", "maps", "noise")]
            lines.append(
                f"| {result['shape'].upper()} | {point['image_tokens']:,} | {point['batch']} "
                f"| {point['plain_ms_per_token']['median']:.0f} | {' | '.join(cells)} |"
            )
    return "\n".join(lines)


def _cell(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} [{ratio['q1']:.2f}-{ratio['q3']:.2f}]"


def _results() -> list[dict[str, Any]]:
    files = sorted(RESULTS.glob("growth-*.json"))
    if not files:
        raise SystemExit("There must be a result to show: run without --show first.")
    return [json.loads(file.read_text("utf-8")) for file in files]


def main() -> None:
    """Measure one shape into ``results/growth-....json``, and draw all that were measured."""
    parser = argparse.ArgumentParser(description="growth of the cost of watching")
    parser.add_argument("--shape", choices=SHAPES, default="0.1b")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--grid", action="store_true", help="batches and image tokens alone")
    parser.add_argument("--missing", action="store_true", help="only what was left out before")
    parser.add_argument("--show", action="store_true", help="figure and table; measure nothing")
    options = parser.parse_args()
    if not options.show:
        steady_heap()
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cpu":
            torch.set_num_threads(1)
        shape = SHAPES[options.shape]
        name = f"growth-{shape.name}-{device.type}"
        known = {"shape": shape.name, "tokens": options.tokens, "rounds": options.rounds}
        found: list[dict[str, Any]] = []
        left: list[dict[str, Any]] = []
        todo = list(points(shape.layers, grid=options.grid))
        if options.missing:
            before = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
            found = before["points"]
            todo = [Point(**point) for point in before["left_out"]]
        bench = Workbench(shape, device)
        for point in track(todo, description=f"growth, {shape.name}"):
            what = dataclasses.asdict(point)
            if fits(shape, point, device):
                spent = bench.measure(point, tokens=options.tokens, rounds=options.rounds)
                found.append(what | spent)
            else:
                left.append(what)
            record(name, known | environment(device) | {"points": found, "left_out": left})
    draw(FIGURE)
    update(PAGE, table(), begin="<!-- growth -->", end="<!-- end of growth -->")
    print(FIGURE, PAGE)


if __name__ == "__main__":
    main()
