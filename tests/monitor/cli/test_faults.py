"""Jobs whose disk, memory or device fails: what passes is waited for, nothing is lost."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from PIL import Image
from rich.console import Console
from sightline.monitor.cli import captioner
from sightline.monitor.cli.records import RecordFile
from sightline.monitor.cli.run import CaptionRun
from sightline.monitor.jobs.retries import Retries
from sightline.monitor.models.images import MAX_PIXELS
from sightline.monitor.session import Monitor

IMAGES = 6

Job = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def files(tmp_path: Path, pictures: list[Image.Image]) -> list[Path]:
    """Six images, every second one twice as wide."""
    found = []
    for number in range(IMAGES):
        picture = pictures[number % len(pictures)].rotate(90 * number)
        width = 24 * (1 + number % 2)
        found.append(tmp_path / f"{number}.png")
        picture.resize((width, 24)).save(found[-1])
    return found


@pytest.fixture
def slept() -> list[float]:
    """The pauses that were made."""
    return []


@pytest.fixture
def job(monitor: Monitor, files: list[Path], tmp_path: Path, slept: list[float]) -> Job:
    """Captions the images into a file; its records without their timings."""

    def work(name: str = "out.jsonl", batch_size: int = 4) -> list[dict[str, Any]]:
        with RecordFile(tmp_path / name) as record_file:
            CaptionRun(
                monitor=monitor,
                prompt="What?",
                max_new_tokens=5,
                max_pixels=MAX_PIXELS,
                record_file=record_file,
                console=None,
                log=Console(stderr=True, width=200),
                retries=Retries(2, sleep=slept.append),
            ).all(files, batch_size=batch_size)
        return timeless(tmp_path / name)

    return work


def timeless(path: Path) -> list[dict[str, Any]]:
    """The records of a file without what the clock says."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for record in records:
        record.pop("timings", None)
    return records


def failing(real: Any, times: int, error: Exception, only: str = "") -> Any:
    """A function that fails so often before it does what it should."""
    left = [times]

    def call(first: Any, *rest: Any, **options: Any) -> Any:
        if left[0] and only in str(first):
            left[0] -= 1
            raise error
        return real(first, *rest, **options)

    return call


def test_a_disk_that_hiccups_costs_no_image(
    job: Job, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read and a write that fail twice are tried again; what comes out is what would have."""
    expected = job("whole.jsonl")
    hiccup = OSError(errno.EIO, "input/output error")
    monkeypatch.setattr(Image, "open", failing(Image.open, 2, hiccup, only="3.png"))
    assert job("read.jsonl") == expected
    assert slept == [0.5, 1.0]
    monkeypatch.setattr(os, "write", failing(os.write, 2, hiccup))
    assert job("written.jsonl") == expected
    assert slept == [0.5, 1.0] * 2


def test_a_disk_that_is_broken_costs_its_images_alone(
    job: Job, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all retries the image is recorded as failed and the others are captioned."""
    hiccup = OSError(errno.EIO, "input/output error")
    monkeypatch.setattr(Image, "open", failing(Image.open, 3, hiccup, only="3.png"))
    records = job()
    assert [record["kind"] for record in records] == [
        "failure" if number == 3 else "caption" for number in range(IMAGES)
    ]
    assert "input/output error" in records[3]["message"]
    assert slept == [0.5, 1.0]


def test_without_memory_batches_are_smaller_and_no_image_is_lost(
    job: Job, monitor: Monitor, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Room for two images: the captions of a job in twos, and it is said once."""
    expected = job("whole.jsonl", batch_size=2)
    real, sizes = monitor.generate, []

    def generate(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(**inputs)

    monkeypatch.setattr(monitor, "generate", generate)
    assert job(batch_size=4) == expected
    assert sizes == [4, 2, 2, 2]
    assert capsys.readouterr().err.count("Out of memory: batches of 2 for now.") == 1


def test_a_lost_device_ends_the_job_and_the_same_command_goes_on(
    job: Job, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch it was busy with is recorded as failed; another process does the others."""
    expected = job("whole.jsonl", batch_size=2)
    calls: list[int] = []
    real = monitor.generate

    def generate(**inputs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return real(**inputs)

    monkeypatch.setattr(monitor, "generate", generate)
    with pytest.raises(click.ClickException, match="--retry-failed"):
        job(batch_size=2)
    assert len(calls) == 2
    records = job(batch_size=2)
    assert records[:2] + records[4:] == expected[:2] + expected[4:]
    assert [record["error"] for record in records[2:4]] == ["AcceleratorError"] * 2


def test_equal_prompts_go_together_and_records_keep_the_order(
    job: Job, monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wide pictures with wide ones; cut anywhere, the job comes out as it would have."""

    class Lengths:
        """By the width of the picture."""

        vary = True

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def of(self, path: Path) -> int:
            """Read from the file."""
            return Image.open(path).width

    monkeypatch.setattr(captioner, "PromptLengths", Lengths)
    together: list[list[int]] = []
    real = captioner.Captioner.records

    def records(self: Any, batch: Any) -> Any:
        together.append([int(path.stem) for path in batch])
        return real(self, batch)

    monkeypatch.setattr(captioner.Captioner, "records", records)
    expected = job("whole.jsonl", batch_size=3)
    assert together == [[0, 2, 4], [1, 3, 5]]
    assert [int(Path(one["image"]["path"]).stem) for one in expected] == list(range(IMAGES))
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    for kept in range(IMAGES):
        (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:50])
        assert job("cut.jsonl", batch_size=3) == expected


@pytest.mark.parametrize("kept", [1, 3])
def test_what_waits_for_its_turn_is_written_when_it_comes(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """An interrupt keeps the images up to the first that is not captioned."""
    real = captioner.Captioner.records
    calls: list[int] = []

    def records(self: Any, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == kept + 1:
            raise KeyboardInterrupt
        return real(self, batch)

    monkeypatch.setattr(captioner.Captioner, "records", records)
    assert len(job(batch_size=1)) == kept
