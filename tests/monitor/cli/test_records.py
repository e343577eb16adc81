"""Files of records: what is read of them to go on with a job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sightline.monitor.cli.job import Progress, Recipe
from sightline.monitor.cli.records import RecordFile
from sightline.monitor.errors import InputError
from sightline.monitor.models.images import ImageInfo
from sightline.monitor.report import Failure
from sightline.monitor.session import Monitor

HOSTILE = 'a ,"policy": b ,"text": c.png'
"""A file name that holds what a line is divided at."""


@pytest.fixture
def written(monitor: Monitor, pictures: list[Image.Image], tmp_path: Path) -> Path:
    """A file of a caption and a failure."""
    info = ImageInfo(HOSTILE, 24, 24, "PNG", "RGB", 1)
    result = monitor.generate(
        **monitor.prepare([pictures[0]], "What?"), images=[info], max_new_tokens=4
    )
    path = tmp_path / "out.jsonl"
    with RecordFile(path) as file:
        file.write([*result.reports, Failure(image="b.png", error="ImageError", message="bad")])
    return path


def recipe(record: dict[str, Any]) -> Recipe:
    """How a report was made."""
    layers = (record["layers"]["first"], record["layers"]["last"])
    return Recipe(record["model"]["name"], "What?", 4, layers, None, None)


def test_a_record_is_read_without_its_tokens(written: Path) -> None:
    """All that says whose it is and how it was made is as a JSON reader finds it."""
    whole = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    with RecordFile(written) as file:
        caption, failure = file.read()
    assert "tokens" not in caption
    assert "text" not in caption
    for name in ("kind", "model", "prompt", "image", "settings", "layers", "policy", "timings"):
        assert caption[name] == whole[0][name]
    assert failure == whole[1]


@pytest.mark.parametrize("how", [{}, {"sort_keys": True, "separators": (",", ":")}])
def test_lines_that_another_tool_wrote_again_are_gone_on_with(
    written: Path, how: dict[str, Any]
) -> None:
    """Spaces between the fields, or the fields in another order."""
    records = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps(one, **how) + "\n" for one in records]
    written.write_text("".join(lines), encoding="utf-8")
    with RecordFile(written) as file:
        progress = Progress.of(file.read(), recipe(records[0]), written)
    assert (progress.captioned, progress.failed) == (1, 1)
    assert progress.flags([Path("b.png"), Path(HOSTILE), Path("c.png"), Path("b.png")]) == bytes(
        [1, 1, 0, 0]
    )


def test_failures_are_taken_out_and_the_rest_is_as_it_was(written: Path) -> None:
    """Byte for byte."""
    first = written.read_bytes().splitlines(keepends=True)[0]
    with RecordFile(written) as file:
        file.drop_failures()
        file.write([Failure(image="c.png", error="ImageError", message="bad")])
    assert written.read_bytes().startswith(first)
    assert [json.loads(line)["kind"] for line in written.read_bytes().splitlines()] == [
        "caption",
        "failure",
    ]


def test_a_damaged_line_is_refused_by_its_number(written: Path) -> None:
    """A line without its end in the middle of the file is no report."""
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(lines[0] + lines[0][: len(lines[0]) // 2] + b"\n" + lines[1])
    with RecordFile(written) as file, pytest.raises(InputError, match="line 2 is none"):
        list(file.read())
