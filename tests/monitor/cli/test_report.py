"""sightline report: formats by name, whole files or none, and errors that name the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sightline.monitor.cli.report import report

from ..reports import made_report


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
