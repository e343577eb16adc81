"""Whether memory stays what it was over a hundred thousand images, and how fast a job is resumed.

    python -m tests.benchmarks.bench_long_job
    python -m tests.benchmarks.bench_long_job --images 1000 10000

``caption`` is the real job of ``sightline caption --out``: a folder is listed, files are opened,
records are written, a bar is kept; ``collect`` is that of ``sightline calibrate collect``, its
Parquet table and its summary included. Only the model is left out: in its place the same real
caption, with its evidence, is given back for every image. Each size has a process of its own.

``growth`` is how far resident memory rose from when a tenth of the images was done until all were,
in MB, and the same per image in bytes; ``start`` is what listing, reading what is done and loading
nothing took before the first image was looked at. ``resume`` is a second process over the file of
the first, from which the last ten records were cut.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from sightline.calibration.cli.collect import _Progress
from sightline.calibration.collecting.captions import each_caption
from sightline.calibration.collecting.collect import Collector
from sightline.calibration.collecting.collected import CollectedCaption, ImageFacts
from sightline.calibration.collecting.content import data_hash
from sightline.calibration.collecting.folder import TableFolder
from sightline.calibration.collecting.sources import deal, find_sources
from sightline.calibration.collecting.summary import Summary
from sightline.calibration.objects.annotations import Annotations
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds
from sightline.monitor.cli.records import RecordFile
from sightline.monitor.cli.run import CaptionRun
from sightline.monitor.models.images import MAX_PIXELS, find_images, open_image
from sightline.monitor.models.prompts import DEFAULT_PROMPT
from sightline.monitor.report import ImageSection
from sightline.monitor.session import Captions, Monitor

from .workbench import environment, record

PAGE = os.sysconf("SC_PAGE_SIZE")
CUT = 10
"""Records that a resumed job finds missing."""


def resident() -> float:
    """Memory of this process that is in RAM now, MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE / 1e6


def peak() -> float:
    """The most it ever was, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


@dataclass(slots=True)
class Course:
    """How one process went."""

    images: int
    before: float
    tenth: float
    end: float
    start_seconds: float
    start_cpu_seconds: float
    images_per_second: float
    summary_seconds: float | None = None
    summary_peak: float | None = None

    def report(self) -> dict[str, Any]:
        """With what memory grew by."""
        growth = self.end - self.tenth
        per_image = growth * 1e6 / max(1, 0.9 * self.images)
        return asdict(self) | {"growth": growth, "bytes_per_image": per_image}


class Watched:
    """Notes memory as images are done."""

    def __init__(self, images: int) -> None:
        self.began, self.began_cpu = time.perf_counter(), time.process_time()
        self.first: float | None = None
        self.first_cpu = 0.0
        self.tenth = 0.0
        self._images = images
        self._done = 0

    def look(self) -> None:
        """The first image is looked at."""
        if self.first is None:
            self.first, self.first_cpu = time.perf_counter(), time.process_time()

    def add(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        if not self.tenth and self._done >= self._images / 10:
            self.tenth = resident()

    def course(self, before: float) -> Course:
        """When all are done."""
        now, first = time.perf_counter(), self.first or self.began
        end = resident()
        return Course(
            images=self._images,
            before=before,
            tenth=self.tenth or end,
            end=end,
            start_seconds=first - self.began,
            start_cpu_seconds=self.first_cpu - self.began_cpu,
            images_per_second=self._done / (now - first),
        )


def make_files(folder: Path, images: int) -> None:
    """Tiny images, as many names for a few files: a file can only have so many."""
    folder.mkdir()
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(stream, "PNG")
    for number in range(images):
        path = folder / f"{number:012d}.png"
        if number % 20000:
            path.hardlink_to(folder / f"{number - number % 20000:012d}.png")
        else:
            path.write_bytes(stream.getvalue())


def caption(folder: Path, out: Path, images: int) -> Course:
    """The job of ``sightline caption`` with a caption that is there already."""
    monitor = Monitor.from_pretrained("small", calibration=None)
    scene = Path(next(iter(seeds_of(folder).glob("*.png"))))
    inputs = monitor.prepare([open_image(scene).image])
    (report,) = monitor.generate(**inputs, max_new_tokens=512).reports
    watched = Watched(images)
    before = resident()

    def prepare(batch: Sequence[Any], *_: Any) -> dict[str, Any]:
        watched.look()
        return {"rows": len(batch)}

    def generate(*, images: Sequence[Any], rows: int, **_: Any) -> Captions:
        infos = [ImageSection(**asdict(info)) for info in images]
        reports = tuple(report.model_copy(update={"image": info}) for info in infos)
        watched.add(rows)
        return Captions((), reports, torch.empty(0), None)

    monitor.prepare, monitor.generate = prepare, generate  # type: ignore[method-assign, assignment]
    with RecordFile(out) as record_file, open(os.devnull, "w") as nowhere:
        CaptionRun(
            monitor=monitor,
            prompt=DEFAULT_PROMPT,
            max_new_tokens=512,
            max_pixels=MAX_PIXELS,
            record_file=record_file,
            console=None,
            log=Console(file=nowhere, force_terminal=True),
        ).all(find_images([folder]), batch_size=8)
    return watched.course(before)


def collect(folder: Path, out: Path, images: int) -> Course:
    """The job of ``sightline calibrate collect``, likewise."""
    scenes = seeds_of(folder)
    monitor = Monitor.from_pretrained("small", calibration=None, watch_layers="all")
    known = Annotations.load(scenes / "instances.json", monitor.lexicon)
    options: dict[str, Any] = {"prompt": DEFAULT_PROMPT, "max_new_tokens": 160}
    real = Collector(monitor, known, batch_size=1, **options)
    first, share = deal(find_sources(scenes, known)[:1], number=1, of=1, batch_size=1)
    with (
        tempfile.TemporaryDirectory() as once,
        TableFolder(Path(once), real.header(share)) as table,
    ):
        kept: list[CollectedCaption] = []
        real.run(first, table, on_captions=kept.extend)
    annotations = replace(
        known,
        objects={str(number): known.truth(first[0].image_id) for number in range(images)},
        file_names={},
    )
    watched = Watched(images)
    before = resident()

    class Canned(Collector):
        """Gives back the same caption for every image."""

        def _inputs(self, opened: Any) -> Any:
            watched.look()
            return {"input_ids": torch.empty(len(opened), 1)}

        def _recorded(
            self, images: Sequence[ImageFacts], inputs: Any, reader: Any
        ) -> list[CollectedCaption]:
            watched.add(len(images))
            return [replace(kept[0], image_id=one.image_id, file=one.file) for one in images]

    collector = Canned(monitor, annotations, batch_size=50, **options)
    sources, share = deal(
        find_sources(folder, annotations), number=1, of=1, batch_size=collector.window
    )
    with (
        open(os.devnull, "w") as nowhere,
        TableFolder(out, collector.header(share)) as table,
        _Progress(Console(file=nowhere), total=images) as progress,
    ):
        collector.run(sources, table, on_captions=progress.add)
    course = watched.course(before)
    began = time.perf_counter()
    Summary.of(out, each_caption(out), data_hash(out))
    course.summary_seconds = time.perf_counter() - began
    course.summary_peak = peak()
    return course


def seeds_of(folder: Path) -> Path:
    """Scenes beside a folder."""
    return folder.parent / "scenes"


def cut_lines(out: Path) -> None:
    """Cut the last records from a file of reports."""
    with out.open("r+b") as file:
        file.seek(-min(out.stat().st_size, 1_000_000), os.SEEK_END)
        start, tail = file.tell(), file.read()
        kept = b"".join(tail.splitlines(keepends=True)[:-CUT])
        file.truncate(start + len(kept))


def cut_parts(out: Path) -> None:
    """Cut the last part from a table."""
    last = max(out.glob("captions-*.parquet"))
    last.unlink()
    out.joinpath(last.name.replace("captions", "mentions")).unlink()


def _child(job: Callable[..., Course], arguments: Sequence[Any], pipe: Any) -> None:
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    pipe.send(job(*arguments))


def apart(job: Callable[..., Course], *arguments: Any) -> Course:
    """A job in a fresh process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(job, arguments, there))
    process.start()
    there.close()
    try:
        course: Course = here.recv()
    finally:
        process.join()
    return course


def main() -> None:
    """Measure and write ``results/long-job-cpu.json``."""
    parser = argparse.ArgumentParser(description="memory and start-up of long jobs")
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--jobs", nargs="+", choices=["caption", "collect"], default=None)
    options = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        export(seeds("development", 2, start=7900), Path(name) / "scenes")
        for images in options.images:
            folder = Path(name) / f"images-{images}"
            make_files(folder, images)
            for job, cut in ((caption, cut_lines), (collect, cut_parts)):
                if options.jobs and job.__name__ not in options.jobs:
                    continue
                out = Path(name) / f"{job.__name__}-{images}"
                first = apart(job, folder, out, images)
                cut(out)
                again = apart(job, folder, out, images)
                result[f"{job.__name__}-{images}"] = {
                    "first": first.report(),
                    "resume": again.report(),
                }
                print(job.__name__, first.report(), again.report(), sep="\n", flush=True)
    path = record(
        "long-job-cpu", vars(options) | environment(torch.device("cpu")) | {"jobs": result}
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
