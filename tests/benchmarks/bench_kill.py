"""Whether jobs that are killed again and again come out as those that were left alone.

    python -m tests.benchmarks.bench_kill --kills 50
    python -m tests.benchmarks.bench_kill --kills 8 --scenes 24 --runs 1

Scenes are rendered, and ``sightline caption --out`` and ``sightline calibrate collect`` are each
let run to the end once. Then each is started, killed with SIGKILL and started again with the very
same command line until all kills of a run are spent, and once more to the end. A process dies

- ``moment``: at a random moment of its work;
- ``start``: in its first tenths of a second, as it loads, takes the lock and reads what is done;
- ``write``: by its own hand in the middle of a write: of a line, of a file that is to take the
  place of another, before or after it has;
- ``cold``: while Python still imports, in a process that was started from nothing.

What comes out must equal what the undisturbed job wrote: the file of reports line for line, in the
same order, bitwise but for the timings; the table's captions, and the hash of all its evidence. The
processes are forked from one that has imported everything (but the cold ones): needs POSIX.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from sightline.calibration.collecting.captions import read_captions
from sightline.calibration.collecting.table import CalibrationTable
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds
from sightline.monitor.cli.main import main as sightline

from .workbench import environment, record

Mode = Literal["moment", "start", "write", "cold"]
MODES: tuple[Mode, ...] = ("moment", "moment", "moment", "start", "write", "write", "cold")


@dataclass(frozen=True, slots=True)
class Job:
    """A command, where it writes, and how what it wrote is read without what the clock says."""

    name: str
    command: tuple[str, ...]
    read: Callable[[Path], object]
    doubled: Callable[[Path], int]


@dataclass(slots=True)
class Found:
    """What came of one run of kills."""

    kills: int
    modes: dict[str, int]
    torn: int
    finished_early: int
    seconds: float
    equal: bool
    doubled: int


def _lines(out: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    for one in found:
        one.pop("timings", None)
    return found


def _names(records: Sequence[dict[str, Any]]) -> list[str]:
    return [one["image"] if one["kind"] == "failure" else one["image"]["path"] for one in records]


def _doubled_lines(out: Path) -> int:
    return sum(count - 1 for count in Counter(_names(_lines(out))).values())


def _table(out: Path) -> object:
    captions = [replace(one, seconds=None) for one in read_captions(out)]
    table = CalibrationTable.load(out)
    return captions, table.data_hash, table.complete


def _doubled_rows(out: Path) -> int:
    return sum(count - 1 for count in Counter(c.image_id for c in read_captions(out)).values())


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _deadly_writes(turn: int, draw: random.Random) -> None:
    """From now on in this process, the so-manyth write is the last thing that it does."""
    left = [turn]
    write, move = os.write, Path.replace

    def torn(file: int, content: bytes) -> int:
        left[0] -= content.startswith(b'{"version":')
        if not left[0] and content.startswith(b'{"version":'):
            write(file, content[: draw.randrange(len(content))])
            _die()
        return write(file, content)

    def moved(path: Path, target: Any) -> Path:
        left[0] -= 1
        if left[0]:
            return move(path, target)
        how = draw.choice(["half", "before", "after"])
        if how == "half":
            with path.open("r+b") as file:
                file.truncate(draw.randrange(path.stat().st_size + 1))
        if how == "after":
            move(path, target)
        _die()
        return path

    os.write = torn  # type: ignore[assignment]
    Path.replace = moved  # type: ignore[method-assign, assignment]


def _work(command: Sequence[str], fault: int, seed: int) -> None:
    """A job in a forked process; ``fault`` is the write it dies of, 0 for none."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    torch.set_num_threads(1)
    if fault:
        _deadly_writes(fault, random.Random(seed))
    try:
        sightline(list(command))
    except SystemExit as end:
        os._exit(int(end.code or 0))
    os._exit(0)


def _cold(command: Sequence[str], seconds: float) -> bool:
    """A process from nothing, killed after a while; whether it was still at work."""
    code = "from sightline.monitor.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    return False


def _forked(command: Sequence[str], *, seconds: float | None, fault: int, seed: int) -> int:
    """The exit code of a forked job: negative if it was killed."""
    process = multiprocessing.get_context("fork").Process(target=_work, args=(command, fault, seed))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    code = process.exitcode
    process.close()
    return -1 if code is None else code


def kill_again_and_again(
    job: Job, out: Path, *, kills: int, whole: float, draw: random.Random
) -> tuple[int, Counter[str], int, int]:
    """Start the job and kill it; how often, how, torn lines seen, and starts that got through."""
    command = [*job.command, "--out", str(out)]
    done, modes, torn, early = 0, Counter[str](), 0, 0
    while done < kills:
        mode = draw.choice(MODES)
        seed = draw.randrange(2**32)
        if mode == "cold":
            killed = _cold(command, draw.uniform(0.1, 4.0))
        elif mode == "write":
            killed = _forked(command, seconds=None, fault=draw.randint(1, 4), seed=seed) < 0
        else:
            most = 0.6 if mode == "start" else 0.6 + 2 * whole / kills
            killed = _forked(command, seconds=draw.uniform(0.0, most), fault=0, seed=seed) < 0
        if not killed:  # all was done: begin again
            early += 1
            shutil.rmtree(out) if out.is_dir() else out.unlink()
            continue
        done += 1
        modes[mode] += 1
        if out.is_file():
            torn += not out.read_bytes().endswith(b"\n") and out.stat().st_size > 0
        else:
            torn += any(out.glob(".*.part"))
    return done, modes, torn, early


def main() -> None:
    """Kill both jobs and write ``results/kill-....json``."""
    parser = argparse.ArgumentParser(description="jobs that are killed and gone on with")
    parser.add_argument("--kills", type=int, default=50, help="of each job, over all runs")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    draw = random.Random(options.seed)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = folder / "scenes"
        export(seeds("development", options.scenes, start=7000), scenes)
        (scenes / "broken.png").write_bytes(b"no picture")
        collected = folder / "collected"
        shutil.copytree(scenes, collected, ignore=shutil.ignore_patterns("broken.png"))
        spoilt = sorted(collected.glob("*.png"))[options.scenes // 2]
        spoilt.write_bytes(spoilt.read_bytes()[:100])
        common = ("--max-new-tokens", "96", "--batch-size", str(options.batch))
        known = ("--annotations", str(scenes / "instances.json"))
        jobs = (
            Job("caption", ("caption", str(scenes), *common), _lines, _doubled_lines),
            Job(
                "collect",
                ("calibrate", "collect", "--images", str(collected), *known, *common),
                _table,
                _doubled_rows,
            ),
        )
        for job in jobs:
            alone = folder / f"{job.name}-alone"
            began = time.perf_counter()
            code = _forked([*job.command, "--out", str(alone)], seconds=None, fault=0, seed=0)
            whole = time.perf_counter() - began
            assert code == 3, f"{job.name} ended with {code}"  # one image is broken
            expected = job.read(alone)
            runs: list[Found] = []
            for turn in range(options.runs):
                out = folder / f"{job.name}-{turn}"
                share = options.kills // options.runs + (turn < options.kills % options.runs)
                began = time.perf_counter()
                kills, modes, torn, early = kill_again_and_again(
                    job, out, kills=share, whole=whole, draw=draw
                )
                _forked([*job.command, "--out", str(out)], seconds=None, fault=0, seed=0)
                runs.append(
                    Found(
                        kills=kills,
                        modes=dict(modes),
                        torn=torn,
                        finished_early=early,
                        seconds=time.perf_counter() - began,
                        equal=job.read(out) == expected,
                        doubled=job.doubled(out),
                    )
                )
                print(job.name, asdict(runs[-1]), flush=True)
            result[job.name] = {
                "undisturbed_seconds": whole,
                "kills": sum(one.kills for one in runs),
                "torn_writes_left": sum(one.torn for one in runs),
                "runs_equal": sum(one.equal for one in runs),
                "runs": [asdict(one) for one in runs],
            }
    path = record("kill-small-cpu", vars(options) | environment(torch.device("cpu")) | result)
    print(path.read_text(encoding="utf-8"))
    if any(not one["equal"] or one["doubled"] for job in jobs for one in result[job.name]["runs"]):
        sys.exit("a job that was killed came out otherwise")


if __name__ == "__main__":
    main()
