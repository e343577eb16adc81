"""sightline report: formats by name, whole files or none, and errors that name the line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sightline.monitor.cli.report import report

from ..reports import made_action, made_report


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A file of two reports."""
    path = tmp_path / "reports.jsonl"
    lines = [made_report(path=name).to_json() for name in ("1.png", "2.png")]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "begins"),
    [("p.html", "<!DOCTYPE html>"), ("n.csv", "image,caption"), ("s.sarif", "{")],
)
def test_the_name_says_the_format(reports: Path, name: str, begins: str) -> None:
    """The suffix of --out chooses the format."""
    out = reports.parent / name
    result = CliRunner().invoke(report, [str(reports), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert out.read_text(encoding="utf-8").startswith(begins)
    assert name in result.stderr
    assert result.stdout == ""


def test_a_format_goes_to_stdout_from_stdin(reports: Path) -> None:
    """With - and without --out it stands in a pipe."""
    result = CliRunner().invoke(report, ["-", "--format", "coco"], input=reports.read_text())
    assert [one["image_id"] for one in json.loads(result.stdout)] == [1, 2]


def test_a_line_that_is_no_report_leaves_no_file(reports: Path) -> None:
    """The error names the line and the remedy, and what was there before is still there."""
    with reports.open("a", encoding="utf-8") as file:
        file.write('{"kind": "caption"}\n')
    out = reports.parent / "page.html"
    out.write_text("before")
    result = CliRunner().invoke(report, [str(reports), "--out", str(out)])
    assert result.exit_code == 1
    assert "line 3" in result.stderr
    assert out.read_text() == "before"
    assert not list(reports.parent.glob("*.part"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    """No reports, no page."""
    empty = tmp_path / "none.jsonl"
    empty.write_text("\n")
    result = CliRunner().invoke(report, [str(empty), "--out", str(tmp_path / "p.html")])
    assert result.exit_code == 1
    assert "must hold reports" in result.stderr


def entries_of(page: Path) -> list[dict[str, Any]]:
    """The captions that a page brings along, in its order."""
    found = re.findall(r'class="entries">(.*?)</script>', page.read_text(encoding="utf-8"))
    return [one for some in found for one in json.loads(some)]


def make_page(folder: Path, *names: str) -> list[dict[str, Any]]:
    """The entries of the page of some files and folders."""
    out = folder / "page.html"
    paths = [str(folder / name) for name in names]
    result = CliRunner().invoke(report, [*paths, "--out", str(out)])
    assert result.exit_code == 0, result.output
    return entries_of(out)


def test_files_about_the_same_images_stand_side_by_side(reports: Path) -> None:
    """What the second file has of an image goes with the first file's, however the path is put."""
    action = made_action("A dog.", "", start=7, outcome="stopped")
    lines = [
        made_report("A cat.", objects=(), path=name, actions=(action,)).to_json()
        for name in ("./2.png", "3.png")
    ]
    (reports.parent / "stop.jsonl").write_text("\n".join(lines), encoding="utf-8")
    entries = make_page(reports.parent, "reports.jsonl", "stop.jsonl")
    assert [(one["path"], one["file"], one.get("with")) for one in entries] == [
        ("1.png", 0, None),
        ("2.png", 0, None),
        ("./2.png", 1, 1),
        ("3.png", 1, None),
    ]


def test_single_reports_are_read_among_lines(reports: Path) -> None:
    """Reports as the demo writes them count as one source by folder; a folder does, too."""
    folder = reports.parent / "demo"
    folder.mkdir()
    for name in ("1", "2"):
        text = made_report(path=f"{name}.png").model_dump_json(indent=2)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    entries = make_page(reports.parent, "demo/1.json", "demo/2.json", "reports.jsonl")
    assert [(one["file"], one.get("with")) for one in entries] == [
        (0, None),
        (0, None),
        (1, 0),
        (1, 1),
    ]
    assert [one["path"] for one in make_page(reports.parent, "demo")] == ["1.png", "2.png"]
    mixed = (folder / "1.json").read_text() + reports.read_text() + (folder / "2.json").read_text()
    result = CliRunner().invoke(report, ["-", "--format", "csv"], input=mixed)
    assert result.stdout.count(".png") == 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[1, 2]\n", "line 1 of"),
        (b'{\n  "kind": "caption"\n', "begins in line 1 of"),
        (b"\x89PNG\n", "UTF-8"),
        (b"\n\n", "is empty"),
    ],
)
def test_what_is_no_report_is_refused(reports: Path, content: bytes, said: str) -> None:
    """The error says which file, where, and what to do; no page is left behind."""
    (reports.parent / "bad.json").write_bytes(content)
    out = reports.parent / "page.html"
    paths = [str(reports), str(reports.parent / "bad.json")]
    result = CliRunner().invoke(report, [*paths, "--out", str(out)])
    assert result.exit_code == 1
    assert said in result.stderr
    assert "bad.json" in result.stderr
    assert not out.exists()
