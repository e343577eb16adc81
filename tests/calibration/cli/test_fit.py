"""``sightline calibrate fit``: what it writes, says and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sightline.calibration.cli import fit as command
from sightline.calibration.collecting.table import CalibrationTable
from sightline.detectors.calibrated import CalibratedDetector

from ..tables import made_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 made-up images in a folder."""
    folder = tmp_path_factory.mktemp("tables") / "table"
    made_table(300).save(folder)
    return folder


def run(*arguments: object) -> Result:
    """The command with these arguments."""
    return CliRunner().invoke(command.fit, [str(argument) for argument in arguments])


def test_an_artifact_is_written_and_explained(table: Path, tmp_path: Path) -> None:
    """The artifact can be loaded, and the terminal says what it promises and is worth."""
    out = tmp_path / "artifact"
    done = run(table, "--detector", "heads-linear", "--target", "recall=0.6", "--out", out)
    assert done.exit_code == 0, done.output
    loaded = CalibratedDetector.load(out)
    assert loaded.guarantee is not None
    assert str(loaded.guarantee) in done.stdout
    for words in ("AUROC, within mention index", "calibration error", "made-up", f"{out}"):
        assert words in done.stdout


def test_json_is_one_object(table: Path, tmp_path: Path) -> None:
    """With --json, stdout is a single object with the numbers; progress stays on stderr."""
    out = tmp_path / "artifact"
    done = run(table, "--detector", "svar", "--target", "recall=0.6", "--out", out, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    loaded = CalibratedDetector.load(out)
    assert found["threshold"] == loaded.threshold
    assert found["guarantee"]["words"] == str(loaded.guarantee)
    assert found["no_threshold"] is None
    assert found["artifact"] == str(out)
    assert found["table"] == CalibrationTable.load(table).data_hash
    assert 0.5 < found["held_out"]["auroc"]["value"] <= 1
    assert [part["name"] for part in found["parts"]] == ["fit", "probability", "threshold"]


def test_without_a_valid_threshold_nothing_is_written(table: Path, tmp_path: Path) -> None:
    """Exit code 4, the reason on stderr, no folder."""
    out = tmp_path / "artifact"
    done = run(table, "--detector", "svar", "--target", "recall=0.99", "--out", out)
    assert done.exit_code == command.NO_THRESHOLD == 4
    assert "No threshold keeps recall=0.99 with 90% confidence" in done.stderr
    assert "--allow-no-threshold" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_artifact_without_a_threshold_can_be_asked_for(table: Path, tmp_path: Path) -> None:
    """--allow-no-threshold writes one that scores and never flags, and says so."""
    out = tmp_path / "artifact"
    done = run(
        table, "--detector", "svar", "--target", "recall=0.99", "--out", out,
        "--allow-no-threshold", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert CalibratedDetector.load(out).threshold is None
    found = json.loads(done.stdout)
    assert found["threshold"] is None
    assert "No threshold keeps recall=0.99" in found["no_threshold"]["words"]


def test_other_images_can_be_evaluated(table: Path, tmp_path: Path) -> None:
    """--evaluate adds figures on a second table, and refuses the first one again."""
    other = made_table(400, seed=1).of_images(np.arange(300, 400))
    other.save(tmp_path / "other")
    options = ("--detector", "heads-linear", "--target", "recall=0.6", "--out", tmp_path / "a")
    done = run(table, *options, "--evaluate", tmp_path / "other", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["evaluated"]["images"] == 100
    again = run(table, *options, "--evaluate", table)
    assert again.exit_code == 1
    assert "fitted on say nothing, 300 of the 300" in again.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target", "recall"), "must be written as recall=0.8"),
        (("--target", "recall=1"), "between 0 and 1, both excluded, was: 1.0"),
        (("--target", "accuracy=0.9"), "must be written as recall=0.8"),
        (("--confidence", "0"), "confidence of a promise must lie between 0 and 1"),
        (("--detector", "magic"), "A detector must be one of"),
    ],
)
def test_wrong_command_lines_are_refused(
    table: Path, tmp_path: Path, options: tuple[str, str], words: str
) -> None:
    """Exit code 2, the rule and the value; nothing is written."""
    done = run(table, *options, "--out", tmp_path / "artifact")
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


def test_small_and_missing_tables_are_refused(tmp_path: Path) -> None:
    """Fewer than thirty images, and a folder without a table, end with a reason."""
    made_table(29).save(tmp_path / "small")
    done = run(tmp_path / "small", "--detector", "svar", "--out", tmp_path / "artifact")
    assert done.exit_code == 1
    assert "at least 30 captioned images, the table has 29" in done.stderr
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "empty", "--detector", "svar", "--out", tmp_path / "artifact")
    assert done.exit_code == 1
    assert "table.json" in done.stderr
    assert not (tmp_path / "artifact").exists()


def test_other_files_are_not_overwritten(table: Path, tmp_path: Path) -> None:
    """A folder with something else in it is refused before any work."""
    (tmp_path / "mine.txt").write_text("mine")
    done = run(table, "--detector", "svar", "--out", tmp_path)
    assert done.exit_code == 2
    assert "holds something" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interruption_leaves_nothing(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 130 and no half-written folder."""

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_fit", interrupt)
    done = run(table, "--detector", "svar", "--out", tmp_path / "artifact")
    assert done.exit_code == command.INTERRUPTED == 130
    assert not list(tmp_path.iterdir())


def test_help_teaches() -> None:
    """Examples, targets and exit codes are in --help."""
    done = run("--help")
    for words in ("calibrate fit table/", "false-alarm=0.1", "4    no threshold", "Exit codes"):
        assert words in done.stdout
