"""``sightline calibrate compare``, from the command line to a README."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sightline.calibration.cli.compare import compare
from sightline.calibration.reporting.comparison_views import BEGIN, END

from ..reporting.test_scoring import other
from ..tables import made_table

QUICK = ("--draws", "20", "--jobs", "1", "--detectors", "svar,prior")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table to fit on, one to measure on, and one without hallucinations."""
    folder = tmp_path_factory.mktemp("tables")
    made_table(120).save(folder / "fit")
    test = other()
    test.save(folder / "test")
    replace(test, labels=np.zeros_like(test.labels)).save(folder / "true")
    made_table(20).save(folder / "few")
    return folder


def call(*arguments: str | Path) -> Result:
    """Run the command with its streams apart."""
    return CliRunner().invoke(compare, [str(argument) for argument in arguments])


def test_json_alone_is_on_stdout(tables: Path) -> None:
    """Two tables to measure on make two comparisons, in order."""
    done = call(tables / "fit", "--on", tables / "test", "--on", tables / "test", *QUICK, "--json")
    assert done.exit_code == 0, done.stderr
    first, second = json.loads(done.stdout)["comparisons"]
    assert first == second
    assert [row["detector"] for row in first["rows"]] == ["svar", "prior"]
    assert first["rows"][0]["lift"]["low"] is not None


def test_without_another_table_images_are_held_out(tables: Path) -> None:
    """30% of the images are measured on, and the terminal shows the detectors."""
    done = call(tables / "fit", *QUICK)
    assert done.exit_code == 0, done.stderr
    assert "in 36 captions" in done.stdout
    assert "svar" in done.stdout


def test_files_are_written_and_a_readme_updated(tables: Path, tmp_path: Path) -> None:
    """Markdown and JSON by the suffix; the README keeps the rest of its text."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    for name in ("table.md", "table.json"):
        done = call(tables / "fit", *QUICK, "--out", tmp_path / name, "--update", readme)
        assert done.exit_code == 0, done.stderr
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert text.strip() in readme.read_text(encoding="utf-8")
    assert readme.read_text(encoding="utf-8").startswith("before")
    assert json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))["comparisons"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "--on", "true"], 1, "0 hallucinated ones"),
        (["few"], 1, "at least 30 captioned images"),
        (["fit", "--on", "fit"], 1, "images that it learned from"),
        (["fit", "--detectors", "svar,psychic"], 2, "--detectors must name some of svar"),
        (["fit", "--out", "table.txt"], 2, ".md or .json"),
        (["."], 1, "table"),
    ],
)
def test_what_is_wrong_is_said(tables: Path, arguments: list[str], code: int, message: str) -> None:
    """One line on stderr that states the rule and the value, and nothing on stdout."""
    place = {name: str(tables / name) for name in ("fit", "test", "true", "few", ".")}
    done = call(*[place.get(argument, argument) for argument in arguments])
    assert done.exit_code == code
    assert message in done.stderr
    assert not done.stdout


def test_a_readme_without_marks_is_left_alone(tables: Path, tmp_path: Path) -> None:
    """The message shows the marks to add."""
    readme = tmp_path / "README.md"
    readme.write_text("nothing", encoding="utf-8")
    done = call(tables / "fit", *QUICK, "--update", readme)
    assert done.exit_code == 1
    assert BEGIN in done.stderr
    assert readme.read_text(encoding="utf-8") == "nothing"
