"""``sightline calibrate report``, from tables to a folder with a page."""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sightline.calibration.cli.report import report
from sightline.calibration.fitting.fit import fit
from sightline.detectors.extras import remedy

from ..reporting.test_scoring import other
from ..tables import made_table

QUICK = ("--draws", "20", "--jobs", "1", "--detectors", "svar,prior")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tables and an artifact fitted on the first."""
    folder = tmp_path_factory.mktemp("tables")
    table = made_table(120)
    table.save(folder / "fit")
    other().save(folder / "test")
    made_table(20).save(folder / "few")
    fit(table, detector="svar", target="recall=0.3").calibrated.save(folder / "artifact")
    return folder


def call(*arguments: str | Path) -> Result:
    """Run the command with its streams apart."""
    return CliRunner().invoke(report, [str(argument) for argument in arguments])


def test_a_page_and_its_pictures_are_written(tables: Path, tmp_path: Path) -> None:
    """Every picture of the page lies beside it; stdout holds the numbers behind them alone."""
    out = tmp_path / "new" / "report"
    done = call(
        tables / "fit",
        "--on",
        tables / "test",
        "--artifact",
        tables / "artifact",
        "--out",
        out,
        *QUICK,
        "--json",
    )
    assert done.exit_code == 0, done.stderr
    known = json.loads(done.stdout)
    assert known["main"] == "svar (artifact)"
    assert {path.stem for path in out.glob("*.png")} == set(known["figures"])
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(known["figures"])
    assert len(page) < 3_000_000


def test_people_get_the_comparison(tables: Path, tmp_path: Path) -> None:
    """Without --json the table is on stdout, and where the page is on stderr."""
    done = call(tables / "fit", "--out", tmp_path, *QUICK)
    assert done.exit_code == 0, done.stderr
    assert "prior" in done.stdout
    assert "index.html" in done.stderr.replace("\n", "")


def test_few_images_are_refused(tables: Path, tmp_path: Path) -> None:
    """Fewer than 30 images to fit on: a line that says so, and nothing is written."""
    done = call(tables / "few", "--out", tmp_path / "report", *QUICK)
    assert done.exit_code == 1
    assert "at least 30 captioned images" in done.stderr
    assert not (tmp_path / "report").exists()


def test_few_images_to_measure_on_are_marked(tables: Path, tmp_path: Path) -> None:
    """A table of 25 images is measured on, and the page says what that is worth."""
    other(25, seed=3).save(tmp_path / "small")
    done = call(tables / "fit", "--on", tmp_path / "small", "--out", tmp_path / "report", *QUICK)
    assert done.exit_code == 0, done.stderr
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "Measured on 25 images, fewer than 30" in page


def test_without_matplotlib_the_remedy_is_said(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optional extra that is missing is named, and nothing is written."""
    real = builtins.__import__

    def absent(
        name: str,
        globals_: Mapping[str, object] | None = None,
        locals_: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> object:
        if name.partition(".")[0] == "matplotlib" and not level:
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, globals_, locals_, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", absent)
    done = call(tables / "fit", "--out", tmp_path / "report", *QUICK)
    assert done.exit_code == 1
    assert remedy("calibration") in done.stderr
    assert not (tmp_path / "report").exists()
