"""What a page of many captions weighs, and how long it takes to write, open and use.

    python -m tests.benchmarks.bench_page
    python -m tests.benchmarks.bench_page --plain 10000 --inspected 300 --rounds 5

Pictures are scenes of the development seeds, reports are the small model's on them, in turn. Those
with an inside have one of LLaVA-1.5-7B's size, 576 image tokens in 32 layers, of random numbers:
noise packs worse than any model's, so that the weight is an upper bound. ``open`` is the time from
the address to the page's being ready in a headless Chromium; ``map`` that from the click on a noun
to its heat map and profile, the caption's inside unpacked on the way; ``step`` one caption on in
the list. ``write`` is CPU time, the making of the noise included.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from sightline.calibration.scenes.render import render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.world import sample_scene
from sightline.monitor.models.images import open_image
from sightline.monitor.page.page import page
from sightline.monitor.report import Grid, Inside, MentionInside, Planes, Reads, Report
from sightline.monitor.session import Monitor

from .workbench import environment, record, summary

SCENES: Final = 40
LAYERS, SIDE, WORDS = 32, 24, 3000

_MAP: Final = """async () => {
  const start = performance.now();
  document.querySelector("#detail button.mention").click();
  while (!document.querySelector("svg.profile")) await new Promise((go) => setTimeout(go, 1));
  return performance.now() - start;
}"""
_STEP: Final = """() => {
  const start = performance.now();
  for (let one = 0; one < 50; one += 1) step(1);
  return (performance.now() - start) / 50;
}"""
_SEARCH: Final = """() => {
  const start = performance.now();
  document.getElementById("search").value = "cow";
  refresh();
  return performance.now() - start;
}"""


def captions(folder: Path) -> list[Report]:
    """The small model's reports on some scenes, which are written to ``folder``."""
    monitor = Monitor.from_pretrained("small")
    found: list[Report] = []
    for seed in seeds("development", SCENES):
        path = folder / f"{seed}.png"
        render(sample_scene(seed)).image.save(path)
        opened = open_image(path)
        inputs = monitor.prepare([opened.image])
        found += monitor.generate(**inputs, images=[opened.info], max_new_tokens=256).reports
    return found


def inspected(report: Report, rng: np.random.Generator) -> Report:
    """A report with an inside as LLaVA-1.5-7B's would be, of noise."""
    tokens = SIDE**2

    def planes(power: int) -> Planes:
        return Planes.of(rng.random((LAYERS, tokens)) ** power)

    inside = Inside(
        layers=tuple(range(LAYERS)),
        grids=(Grid(start=0, rows=SIDE, columns=SIDE, left=0, top=0, right=1, bottom=1),),
        reads=Reads.of(
            tuple(f" w{one}" for one in range(WORDS)),
            np.minimum(rng.zipf(1.3, (LAYERS, tokens)), WORDS) - 1,
            rng.random((LAYERS, tokens)),
        ),
        bands=None,
    )
    mentions = tuple(
        one.model_copy(
            update={
                "inside": MentionInside(
                    profile=tuple(rng.random(LAYERS).tolist()),
                    attention=planes(4),
                    confidence=planes(12),
                )
            }
        )
        for one in report.mentions
    )
    return report.model_copy(
        update={"inside": inside, "mentions": mentions, "image_tokens": tokens}
    )


def measured(browser: Any, file: Path, records: Iterator[Report], options: Any) -> dict[str, Any]:
    """Writing, opening and using one page."""
    start = time.process_time()
    with file.open("w", encoding="utf-8") as out:
        out.writelines(page(records, count=options.count, base=file.parent))
    found: dict[str, Any] = {
        "captions": options.count,
        "megabytes": file.stat().st_size / 1e6,
        "write_s": time.process_time() - start,
    }
    spent: dict[str, list[float]] = {"open_ms": [], "map_ms": [], "step_ms": [], "search_ms": []}
    for _ in range(options.rounds):
        window = browser.new_page(viewport={"width": 1400, "height": 900})
        start = time.perf_counter()
        window.goto(file.as_uri())
        window.wait_for_selector("html[data-ready]")
        spent["open_ms"].append(1000 * (time.perf_counter() - start))
        if options.inside:
            spent["map_ms"].append(window.evaluate(_MAP))
        spent["step_ms"].append(window.evaluate(_STEP))
        spent["search_ms"].append(window.evaluate(_SEARCH))
        window.close()
    return found | {name: summary(values) for name, values in spent.items() if values}


def main() -> None:
    """Measure and write ``results/page-....json``."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description="pages of many captions")
    parser.add_argument("--plain", type=int, default=10_000)
    parser.add_argument("--inspected", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        reports = captions(folder)
        # Paths in reports are the pictures' own: the page finds them from anywhere.
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for kind, count in (("plain", options.plain), ("inspected", options.inspected)):
            rng = np.random.default_rng(0)
            inside = kind == "inspected"
            some = (reports[one % SCENES] for one in range(count))
            records = (inspected(one, rng) if inside else one for one in some)
            asked = argparse.Namespace(count=count, rounds=options.rounds, inside=inside)
            found[kind] = measured(browser, folder / f"{kind}.html", records, asked)
        browser.close()
    name = f"page-{options.plain}-{options.inspected}-cpu"
    path = record(name, vars(options) | environment(torch.device("cpu")) | found)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
