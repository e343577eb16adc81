"""`sightline calibrate bands`: what `fit` writes today, added to what it wrote before."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from sightline.detectors.bands import Bands
from sightline.detectors.calibrated import CalibratedDetector
from sightline.monitor.cli.main import main

from ..tables import made_table


def run(*arguments: object) -> Result:
    """Runs `sightline calibrate`."""
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)])


def test_an_older_artifact_becomes_todays(tmp_path: Path) -> None:
    """With the table it was fitted on, byte for byte; with another one it is left as it is."""
    table, other = made_table(300), made_table(300, seed=1)
    table.save(tmp_path / "table")
    other.save(tmp_path / "other")
    today, older = tmp_path / "today", tmp_path / "older"
    done = run(
        "fit", tmp_path / "table", "--detector", "svar", "--target", "recall=0.6", "--out", today
    )
    assert done.exit_code == 0, done.stderr
    calibrated = CalibratedDetector.load(today)
    assert calibrated.bands == Bands.of(table.mentions, table.labels)
    calibrated.with_bands(None).save(older)
    before = {path.name: path.read_bytes() for path in older.iterdir()}

    refused = run("bands", older, tmp_path / "other")
    assert refused.exit_code == 1
    assert "fitted on" in refused.stderr
    assert before == {path.name: path.read_bytes() for path in older.iterdir()}

    done = run("bands", older, tmp_path / "table")
    assert done.exit_code == 0, done.stderr
    written = {path.name: path.read_bytes() for path in older.iterdir()}
    assert written == {path.name: path.read_bytes() for path in today.iterdir()}
