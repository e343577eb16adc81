"""How much longer captioning takes when it is collected: watched, labelled and written to disk.

    python -m tests.benchmarks.bench_collect
    python -m tests.benchmarks.bench_collect --batch 1 --rounds 15
    python -m tests.benchmarks.bench_collect --lens

Both arms open the same image files, prepare them and caption them in the same batches; the one with
``model.generate`` alone, the other through ``Collector.run`` into a new table, its disk syncs
included. They take turns in random order; the ratio of each round is reported as median and
quartiles, beside that of a second plain arm, the noise floor. ``cpu`` holds the same ratios in
seconds of this process, all its threads together: collecting prepares images and writes tables in
threads beside the model, which the wall does not show where a core is free for them.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from sightline.calibration.collecting.collect import Collector
from sightline.calibration.collecting.folder import TableFolder
from sightline.calibration.collecting.sources import Source, deal, find_sources
from sightline.calibration.objects.annotations import Annotations
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds
from sightline.monitor.models.images import open_image
from sightline.monitor.models.prompts import DEFAULT_PROMPT
from sightline.monitor.session import Monitor

from .workbench import environment, record, summary


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long it takes: on the wall, and in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(
    monitor: Monitor,
    annotations: Annotations,
    sources: Sequence[Source],
    *,
    batch: int,
    batches: int,
    rounds: int,
    tokens: int,
    lens: bool,
) -> dict[str, Any]:
    """Ratios collected / plain and plain / plain over ``rounds`` batches."""
    model: Any = monitor.model
    collector = Collector(
        monitor,
        annotations,
        prompt=DEFAULT_PROMPT,
        max_new_tokens=tokens,
        batch_size=batch,
        lens=lens,
    )

    def plain(chosen: Sequence[Source]) -> None:
        for start in range(0, len(chosen), batch):
            some = chosen[start : start + batch]
            images = [open_image(source.path).image for source in some]
            inputs = monitor.prepare(images)
            sequences = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
            monitor.tokenizer.batch_decode(sequences, skip_special_tokens=True)

    def collected(chosen: Sequence[Source]) -> None:
        mine, share = deal(chosen, number=1, of=1, batch_size=batch)
        with (
            tempfile.TemporaryDirectory() as folder,
            TableFolder(Path(folder) / "table", collector.header(share)) as table,
        ):
            collector.run(mine, table)

    arms = {"plain": plain, "collected": collected, "again": plain}
    for arm in arms.values():
        arm(sources[:batch])  # the first call of anything pays for what later ones have
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for turn in range(rounds):
        start = turn * batch * batches % len(sources)
        chosen = sources[start : start + batch * batches]
        for name in random.sample(list(arms), len(arms)):
            spent[name].append(seconds(lambda name=name, chosen=chosen: arms[name](chosen)))  # type: ignore[misc]
    found: dict[str, Any] = {}
    images = batch * batches
    for place, clock in enumerate(("wall", "cpu")):
        rows = [
            tuple(times[place] for times in row)
            for row in zip(spent["plain"], spent["collected"], spent["again"], strict=True)
        ]
        found[clock] = {
            "ratio": summary(collected / plain for plain, collected, _ in rows),
            "noise": summary(again / plain for plain, _, again in rows),
            "plain_images_per_second": summary(images / plain for plain, _, _ in rows),
            "collected_images_per_second": summary(images / collected for _, collected, _ in rows),
        }
    return found


def main() -> None:
    """Measure and write ``results/collect-....json``."""
    parser = argparse.ArgumentParser(description="captioning, collected against plain")
    parser.add_argument("--model", default="small")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--batches", type=int, default=4, help="in one turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--lens", action="store_true")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    monitor = Monitor.from_pretrained(
        options.model,
        device=device,
        calibration=None,
        lexicon="small",
        watch_layers="all",
        lens=options.lens,
    )
    with tempfile.TemporaryDirectory() as folder:
        scenes = Path(folder) / "scenes"
        each = options.batch * options.batches
        count = each * min(options.rounds, max(1, 600 // each))
        export(seeds("development", count), scenes)
        annotations = Annotations.load(scenes / "instances.json", monitor.lexicon)
        result = compare(
            monitor,
            annotations,
            find_sources(scenes, annotations),
            batch=options.batch,
            batches=options.batches,
            rounds=options.rounds,
            tokens=options.tokens,
            lens=options.lens,
        )
    name = f"collect-{Path(options.model).name}-b{options.batch}"
    path = record(
        f"{name}{'-lens' * options.lens}-{device.type}",
        vars(options) | environment(device) | result,
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
