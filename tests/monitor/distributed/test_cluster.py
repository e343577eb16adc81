"""Jobs in a local cluster of several processes: the same reports, whatever dies."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sightline.detectors.extras import remedy
from sightline.monitor.cli.main import main
from sightline.monitor.distributed.captioning import Captioning, Introduction
from sightline.monitor.distributed.cluster import Workers, cluster, require_ray
from sightline.monitor.distributed.dataset import caption_dataset
from sightline.monitor.distributed.job import Finished, finished
from sightline.monitor.errors import ClusterError

IMAGES = 12
Call = Callable[..., Result]


@pytest.fixture
def album(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    """A folder of images with a broken one in their midst."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(IMAGES):
        picture = pictures[number % len(pictures)].rotate(90 * number)
        picture.save(folder / f"{number:02}.png")
    (folder / "03.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def call(tiny_folder: Path) -> Call:
    """Runs `sightline caption` with the tiny model."""

    def invoke(*arguments: object) -> Result:
        command = ["caption", "--model", str(tiny_folder), "--max-new-tokens", "5"]
        return CliRunner().invoke(main, [*command, *map(str, arguments)])

    return invoke


@pytest.fixture(scope="module")
def joined() -> Iterator[Any]:
    """This process in a cluster with room for two workers."""
    ray = pytest.importorskip("ray", reason="several workers need Ray: sightline[ray]")
    with cluster(Workers(count=2)):
        yield ray


def timeless(lines: list[str]) -> list[dict[str, Any]]:
    """Records without what the clock says."""
    records = [json.loads(line) for line in lines]
    for record in records:
        record.pop("timings", None)
    return records


def _captioning() -> int:
    """The process of a worker that captions for this one."""
    parents = {
        int(stat.parent.name): int(stat.read_text().rpartition(")")[2].split()[1])
        for stat in Path("/proc").glob("[0-9]*/stat")
    }
    for process, parent in parents.items():
        title = Path("/proc", str(process), "cmdline").read_bytes()
        if parents.get(parent) == os.getpid() and b"PartWorker" in title:
            return process
    raise AssertionError("no worker is captioning")


def test_without_ray_the_remedy_is_told(
    call: Call, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for workers without having Ray is told what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    result = call(album, "--workers", 2)
    assert result.exit_code == 1
    assert remedy("ray") in result.stderr
    with pytest.raises(ClusterError, match=re.escape(remedy("ray"))):
        require_ray()


@pytest.mark.parametrize("option", ["--ray=auto", "--gpus-per-worker=1"])
def test_what_is_about_workers_needs_them(call: Call, album: Path, option: str) -> None:
    """Nobody captions in one process by accident, thinking of a cluster."""
    result = call(album, option)
    assert result.exit_code == 2
    assert "--workers" in result.stderr


@pytest.mark.parametrize("wrong", [{"count": 0}, {"gpus": -1}, {"cpus": 0}])
def test_workers_are_some_and_need_something(wrong: dict[str, int]) -> None:
    """The error says which number was wrong."""
    with pytest.raises(ValueError, match="was: "):
        Workers(**wrong)


def test_a_client_elsewhere_is_refused() -> None:
    """Ray Data runs on the cluster's machines; the error says how to get there."""
    with pytest.raises(ClusterError, match="ray job submit"), cluster(Workers(), address="ray://a"):
        pass


def test_the_command_line_gives_the_same_file(call: Call, album: Path, tmp_path: Path) -> None:
    """A job begun in one process and cut is completed by two workers, and nothing of Ray stays."""
    pytest.importorskip("ray", reason="several workers need Ray: sightline[ray]")
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert call(album, "--out", whole).exit_code == 3
    cut.write_bytes(b"".join(whole.read_bytes().splitlines(True)[:2]) + b'{"ver')
    folders = set(Path(tempfile.gettempdir()).glob("sightline-*"))
    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    result = call(album, "--out", cut, "--workers", 2)
    assert result.exit_code == 3, result.stderr
    assert timeless(cut.read_text().splitlines()) == timeless(whole.read_text().splitlines())
    assert f"of {IMAGES} are in" in result.stderr
    printed = timeless(result.stdout.splitlines())
    assert printed == timeless(cut.read_text().splitlines())[-len(printed) :]
    assert (dict(os.environ), signal.getsignal(signal.SIGTERM)) == (before, handler)
    assert set(Path(tempfile.gettempdir()).glob("sightline-*")) <= folders


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
def test_a_worker_killed_in_the_middle_costs_nothing(
    joined: Any, call: Call, album: Path, tiny_folder: Path
) -> None:
    """kill -9: another one is started, and each image has its record once, in order."""
    expected = timeless(call(album).stdout.splitlines())
    files = sorted(album.iterdir())
    found: list[str] = []
    parts = finished(
        files,
        bytes(IMAGES),
        Captioning(model=str(tiny_folder), max_new_tokens=5),
        workers=Workers(count=2),
    )
    for number, part in enumerate(parts):
        if isinstance(part, Introduction):
            assert part.recipe.max_new_tokens == 5
            continue
        assert isinstance(part, Finished)
        found += [record.to_json() for record in part.records]
        if number == 1:
            victim = _captioning()
            os.kill(victim, signal.SIGKILL)
    assert timeless(found) == expected


def test_reports_are_a_step_of_ones_own_pipeline(
    joined: Any, call: Call, album: Path, tiny_folder: Path
) -> None:
    """Rows of a dataset get the reports that the command line would give them."""
    expected = timeless(call(album / "00.png", album / "03.png").stdout.splitlines())
    dataset = joined.data.from_items(
        [{"path": str(album / name), "mine": name} for name in ("00.png", "03.png")]
    )
    captioning = Captioning(model=str(tiny_folder), max_new_tokens=5)
    rows = caption_dataset(dataset, captioning, batch_size=1).take_all()
    rows.sort(key=lambda row: str(row["mine"]))
    assert timeless([row["report"] for row in rows]) == expected
    assert [row["kind"] for row in rows] == ["caption", "failure"]


def test_a_process_is_in_one_cluster(joined: Any) -> None:
    """A second one is refused, and the first goes on."""
    with pytest.raises(ClusterError, match=r"ray\.shutdown"), cluster(Workers()):
        pass
    assert joined.is_initialized()
