"""How much faster several workers caption, and whether what they write is the same, whatever dies.

    python -m tests.benchmarks.bench_ray --workers 1 2 4
    python -m tests.benchmarks.bench_ray --workers 2 --kills 5

Rendered scenes, one of them broken, are captioned by the command line: by one process, then over
Ray with each number of workers, a thread each. A run is timed from outside: until its first report
is in the file (start-up: the cluster, a model in each worker) and from there to the last; the
speed-up is that of the second part, ``whole`` that of both. Each run's reports are compared with
the local ones, timings set aside. With ``--kills``, as many jobs lose a worker by kill -9 at a
random moment and as many are killed themselves and begun again until they end by themselves. The
load of the machine is in the result: with other work beside it, more workers gain less.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import torch
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds

from .workbench import environment, record

CODE: Final = "from sightline.monitor.cli.main import main; main()"
CLOCKED: Final = ("timings", "milliseconds")
ENDS: Final = 3
"""Exit code of a job in which an image failed."""


def timeless(value: Any) -> Any:
    """A record without what the clock says."""
    if isinstance(value, dict):
        return {name: timeless(one) for name, one in value.items() if name not in CLOCKED}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def records(path: Path) -> list[Any]:
    """What a file of reports holds."""
    return [timeless(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


class Job:
    """A run of the command line in a process of its own.

    Args:
        scenes: the images.
        out: where its reports go.
        options: of the command.
    """

    def __init__(self, scenes: Path, out: Path, *options: str) -> None:
        self.out = out
        command = [sys.executable, "-c", CODE, "caption", str(scenes), "--out", str(out), *options]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    def timed(self) -> dict[str, Any]:
        """Seconds until the first reports and from there on, how many came in them, and the end."""
        start, first, there = time.perf_counter(), 0.0, 0
        while self.process.poll() is None:
            if not there and self.out.exists() and self.out.stat().st_size:
                first, there = time.perf_counter(), self.lines()
            time.sleep(0.02)
        end, count = time.perf_counter(), self.lines()
        if self.process.returncode != ENDS:
            raise SystemExit(f"A job must end with {ENDS}, ended with {self.process.returncode}.")
        return {
            "start_up_s": round(first - start, 2),
            "captioning_s": round(end - first, 2),
            "images_per_s": round((count - there) / (end - first), 2),
            "whole_s": round(end - start, 2),
        }

    def lines(self) -> int:
        """Whole lines in the file so far."""
        return self.out.read_bytes().count(b"\n") if self.out.exists() else 0


def captioning(parent: int) -> list[int]:
    """The processes that caption for a job's process, found in /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
    found = []
    for process, raylet in parents.items():
        try:
            title = Path("/proc", str(process), "cmdline").read_bytes()
        except OSError:
            continue
        if parents.get(raylet) == parent and b"PartWorker" in title:
            found.append(process)
    return found


def kill_worker(job: Job, pause: float) -> bool:
    """Kill a worker some time after the first reports; whether there was one."""
    while job.process.poll() is None and not job.lines():
        time.sleep(0.02)
    time.sleep(pause)
    workers = captioning(job.process.pid)
    if workers:
        os.kill(random.choice(workers), signal.SIGKILL)
    return bool(workers)


def faults(
    scenes: Path, folder: Path, expected: list[Any], *, kills: int, workers: int
) -> dict[str, Any]:
    """Jobs whose workers, and jobs that themselves, are killed; how many came out as they must."""
    options = ("--workers", str(workers))
    survived = killed = 0
    for number in range(kills):
        job = Job(scenes, folder / f"worker{number}.jsonl", *options)
        killed += kill_worker(job, random.uniform(0, 2))
        code = job.process.wait()
        survived += code == ENDS and records(job.out) == expected
        print(f"worker killed: job ended with {code}, {survived} equal", file=sys.stderr)
    resumed = 0
    at: list[int] = []
    for number in range(kills):
        out = folder / f"driver{number}.jsonl"
        job = Job(scenes, out, *options)
        aim = random.randrange(len(expected))
        while job.process.poll() is None and job.lines() < aim:
            time.sleep(0.005)
        job.process.kill()
        job.process.wait()
        at.append(job.lines())
        time.sleep(1)
        left = captioning(job.process.pid)
        again = Job(scenes, out, *options)
        code = again.process.wait()
        # Where the rest had no failure in it, the job ends with 0.
        resumed += code in (0, ENDS) and records(out) == expected and not left
        print(f"job killed at line {at[-1]}: {resumed} equal, left {left}", file=sys.stderr)
    return {
        "worker_kills": killed,
        "equal_after_worker_kill": survived,
        "driver_kills": kills,
        "driver_killed_at_line": at,
        "equal_after_driver_kill_and_resume": resumed,
    }


def main() -> None:
    """Measure and write ``results/ray-....json``."""
    parser = argparse.ArgumentParser(description="captions by several workers against one process")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--policy", default="flag")
    options = parser.parse_args()
    random.seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = folder / "scenes"
        export(seeds("development", options.images), scenes)
        sorted(scenes.glob("*.png"))[options.images // 3].write_bytes(b"no image")
        before, start = os.getloadavg()[0], time.perf_counter()
        policy = ("--policy", options.policy)
        local = Job(scenes, folder / "local.jsonl", *policy)
        runs: dict[str, Any] = {"local": local.timed()}
        expected = records(local.out)
        for count in options.workers:
            job = Job(scenes, folder / f"{count}.jsonl", *policy, "--workers", str(count))
            runs[str(count)] = job.timed() | {"equal_to_local": records(job.out) == expected}
            runs[str(count)]["load"] = round(os.getloadavg()[0], 1)
            print(count, runs[str(count)], file=sys.stderr)
        least = runs[str(options.workers[0])]
        for count in options.workers:
            run = runs[str(count)]
            run["speed_up"] = round(run["images_per_s"] / least["images_per_s"], 2)
            run["whole_speed_up"] = round(least["whole_s"] / run["whole_s"], 2)
        result: dict[str, Any] = {"runs": runs, "cores": os.cpu_count()}
        if options.kills:
            result["faults"] = faults(
                scenes,
                folder,
                expected,
                kills=options.kills,
                workers=options.workers[-1],
            )
        result["load_before"] = round(before, 1)
        result["seconds"] = round(time.perf_counter() - start)
    kind = "faults" if options.kills else "speed"
    path = record(
        f"ray-{kind}-{options.images}-{options.policy}-cpu",
        vars(options) | environment(torch.device("cpu")) | result,
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
