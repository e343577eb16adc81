"""Jobs that are killed, divided, repeated: nothing lost, nothing doubled, nothing mixed up."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from filelock import FileLock
from PIL import Image
from sightline.monitor.cli.job import Shard
from sightline.monitor.cli.main import main

Call = Callable[..., Result]
IMAGES = 7
KILLS = 12


@pytest.fixture
def album(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    """A folder with six good images and a broken one in their midst."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(IMAGES):
        pictures[number % len(pictures)].rotate(90 * number).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def call(tiny_folder: Path) -> Call:
    """Runs `sightline caption` with the tiny model."""

    def invoke(*arguments: object) -> Result:
        command = ["caption", "--model", str(tiny_folder), "--max-new-tokens", "5"]
        return CliRunner().invoke(main, [*command, *map(str, arguments)])

    return invoke


def timeless(path: Path) -> list[dict[str, Any]]:
    """The records of a file without what the clock says."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for record in records:
        record.pop("timings", None)
    return records


@pytest.mark.once
def test_a_job_cut_at_any_byte_ends_as_one_that_was_not(
    call: Call, album: Path, tmp_path: Path
) -> None:
    """Wherever the file ends, in a line or between two, the same command completes it."""
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert call(album, "--batch-size", 3, "--out", whole).exit_code == 3
    content, expected = whole.read_bytes(), timeless(whole)
    assert len(expected) == IMAGES
    edges = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    random.seed(0)
    places = [0, 1, edges[0], edges[1] - 1, edges[-1], *random.sample(range(len(content)), KILLS)]
    for place in places:
        cut.write_bytes(content[:place])
        call(album, "--batch-size", 3, "--out", cut)
        assert timeless(cut) == expected, place


@pytest.mark.once
def test_a_process_killed_at_once_is_gone_on_with(
    call: Call, album: Path, tmp_path: Path, tiny_folder: Path
) -> None:
    """kill -9 in the middle of a real run; the lock it held stops nobody."""
    out, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    code = "from sightline.monitor.cli.main import main; main()"
    command = [sys.executable, "-c", code, "caption", str(album)]
    options = ["--model", str(tiny_folder), "--max-new-tokens", "5", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if out.exists() and out.stat().st_size:
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert out.stat().st_size
    call(album, "--out", out)
    call(album, "--out", whole)
    assert timeless(out) == timeless(whole)


def test_a_finished_job_is_not_done_again(call: Call, album: Path, tmp_path: Path) -> None:
    """The same command once more writes nothing, says so and succeeds but for the failures."""
    out = tmp_path / "reports.jsonl"
    call(album, "--out", out)
    before = out.read_bytes()
    again = call(album, "--out", out)
    assert again.exit_code == 0
    assert again.stdout == ""
    assert "7 of 7" in again.stderr
    assert out.read_bytes() == before


def test_new_images_join_a_finished_job(
    call: Call, album: Path, tmp_path: Path, pictures: list[Image.Image]
) -> None:
    """Only what is new is captioned, wherever its name sorts."""
    out = tmp_path / "reports.jsonl"
    call(album, "--out", out)
    pictures[0].save(album / "0a.png")
    result = call(album, "--batch-size", 2, "--out", out)
    assert [json.loads(line)["image"]["path"] for line in result.stdout.splitlines()] == [
        str(album / "0a.png")
    ]
    assert len(timeless(out)) == IMAGES + 1


def test_failures_are_tried_again_on_demand(
    call: Call, album: Path, tmp_path: Path, pictures: list[Image.Image]
) -> None:
    """--retry-failed replaces the failure by what comes of the image now."""
    out = tmp_path / "reports.jsonl"
    call(album, "--out", out)
    pictures[0].save(album / "3.png")
    assert call(album, "--out", out, "--retry-failed").exit_code == 0
    records = timeless(out)
    assert [record["kind"] for record in records] == ["caption"] * IMAGES
    assert len({record["image"]["path"] for record in records}) == IMAGES


def test_shards_have_each_image_once(call: Call, album: Path, tmp_path: Path) -> None:
    """Three shards together are the whole job."""
    parts = [tmp_path / f"{number}.jsonl" for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        call(album, "--out", part, "--shard", f"{number}/3")
    names = [
        record["image"] if record["kind"] == "failure" else record["image"]["path"]
        for part in parts
        for record in timeless(part)
    ]
    assert sorted(names) == [str(album / f"{number}.png") for number in range(IMAGES)]


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0", ""])
def test_a_shard_must_be_one_of_its_number(text: str) -> None:
    """Anything but i/n with 1 <= i <= n is refused with an example."""
    with pytest.raises(ValueError, match="1/8"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-new-tokens", 4), "the token limit (5 there, 4 now)"),
        (("--prompt", "What is it?"), "the question"),
        (("--layers", "1-2"), "the layers"),
    ],
)
def test_another_way_of_captioning_is_not_mixed_in(
    call: Call, album: Path, tmp_path: Path, options: tuple[object, ...], said: str
) -> None:
    """A file is gone on with in the way it was begun; the error says what differs."""
    out = tmp_path / "reports.jsonl"
    call(album / "0.png", "--out", out)
    before = out.read_bytes()
    result = call(album, "--out", out, *options)
    assert result.exit_code == 1
    assert said in result.stderr
    assert out.read_bytes() == before


@pytest.mark.parametrize("content", ["my notes\n", "my notes", '{"kind": "caption"}\n', "[1]\n"])
def test_a_file_of_something_else_is_left_alone(
    call: Call, album: Path, tmp_path: Path, content: str
) -> None:
    """What is no file of reports is neither appended to nor cut."""
    out = tmp_path / "notes.txt"
    out.write_text(content)
    result = call(album / "0.png", "--out", out)
    assert result.exit_code == 1
    assert "file of reports" in result.stderr
    assert out.read_text() == content


def test_two_writers_are_kept_apart(call: Call, album: Path, tmp_path: Path) -> None:
    """While one process writes a file, another one is refused and told about --shard."""
    out = tmp_path / "reports.jsonl"
    with FileLock(tmp_path / ".reports.jsonl.lock"):
        result = call(album / "0.png", "--out", out)
    assert result.exit_code == 1
    assert "--shard" in result.stderr
    assert not out.exists()
