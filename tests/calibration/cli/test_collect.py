"""`sightline calibrate collect` and `merge`: what they say, what they refuse, how they end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sightline.calibration.collecting.folder import TableFolder
from sightline.calibration.collecting.header import read_header
from sightline.calibration.collecting.table import CalibrationTable
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds
from sightline.monitor.cli.main import main
from sightline.monitor.session import Monitor
from sightline.monitor.watching.recording import Recorder

IMAGES = 6

Call = Callable[..., Result]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of scenes with their annotations."""
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    export(seeds("development", IMAGES, start=6000), folder)
    return folder


@pytest.fixture
def call(scenes: Path) -> Call:
    """Runs `sightline calibrate collect` on the scenes."""

    def invoke(
        *arguments: object, images: Path = scenes, annotations: Path | None = None
    ) -> Result:
        command = ["calibrate", "collect", "--images", images, "--batch-size", 3]
        command += ["--annotations", annotations or scenes / "instances.json"]
        return CliRunner().invoke(main, [*map(str, command), *map(str, arguments)])

    return invoke


def test_a_table_is_collected_and_summed_up(call: Call, tmp_path: Path) -> None:
    """The folder on stdout, the figures on stderr, and a warning that these are few images."""
    result = call("--out", tmp_path / "t")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 't'}\n"
    for said in ("6 of 6 images", "images/s", "hallucinated", "CHAIR_I", "fewer than 30"):
        assert said in " ".join(result.stderr.split())
    assert len(CalibrationTable.load(tmp_path / "t").image_ids) == IMAGES


def test_the_summary_is_json_where_asked_for(call: Call, tmp_path: Path) -> None:
    """The same figures, and the hash of the data."""
    result = call("--out", tmp_path / "t", "--json")
    said: dict[str, Any] = json.loads(result.stdout)
    table = CalibrationTable.load(tmp_path / "t")
    assert (said["captions"], said["failed"], said["mentions"]) == (IMAGES, 0, len(table))
    assert said["data_hash"] == table.data_hash
    assert said["hallucinated"] == pytest.approx(table.labels.mean())
    assert said["chair_i"]["value"] == pytest.approx(table.labels.mean())


def test_a_limit_can_be_raised(call: Call, tmp_path: Path) -> None:
    """The first images by id, then those that are left."""
    call("--out", tmp_path / "t", "--limit", 3)
    assert len(CalibrationTable.load(tmp_path / "t").image_ids) == 3
    result = call("--out", tmp_path / "t")
    assert "3 images are in" in result.stderr
    assert "3 are left" in " ".join(result.stderr.split())
    assert len(CalibrationTable.load(tmp_path / "t").image_ids) == IMAGES


def test_the_lens_is_recorded_where_asked_for(call: Call, tmp_path: Path) -> None:
    """Internal confidence and contributions are there, and the table says so."""
    call("--out", tmp_path / "t", "--limit", 3, "--lens")
    table = CalibrationTable.load(tmp_path / "t")
    assert table.info.lens
    assert ((table.mentions.confidence >= 0) & (table.mentions.confidence <= 1)).all()
    assert (table.mentions.contributions != 0).all()
    result = call("--out", tmp_path / "t", "--limit", 3)
    assert result.exit_code == 1
    assert "lens: true and false" in " ".join(result.stderr.split())


def test_shards_are_merged(call: Call, tmp_path: Path) -> None:
    """Two shards, merged, are the table of one run."""
    call("--out", tmp_path / "whole")
    for i in (1, 2):
        assert call("--out", tmp_path / str(i), "--shard", f"{i}/2").exit_code == 0
    command = ["calibrate", "merge", str(tmp_path / "1"), str(tmp_path / "2")]
    result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "t")])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 't'}\n"
    hashes = {CalibrationTable.load(tmp_path / name).data_hash for name in ("whole", "t")}
    assert len(hashes) == 1
    again = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "t")])
    assert again.exit_code == 1
    assert "new or empty folder" in again.stderr


def test_a_merge_says_what_is_missing(call: Call, tmp_path: Path) -> None:
    """One shard of two is a table, with a warning."""
    call("--out", tmp_path / "1", "--shard", "1/2")
    command = ["calibrate", "merge", str(tmp_path / "1"), "--out", str(tmp_path / "t")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0
    assert "Warning: Shards that are missing: 2/2." in result.stderr


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2"])
def test_impossible_shards_are_refused(call: Call, tmp_path: Path, shard: str) -> None:
    """The message shows one that is possible."""
    result = call("--out", tmp_path / "t", "--shard", shard)
    assert result.exit_code == 2
    assert "such as 1/4" in result.stderr
    assert not (tmp_path / "t").exists()


def test_an_image_that_cannot_be_read_is_skipped(call: Call, scenes: Path, tmp_path: Path) -> None:
    """It is named, counted, and told by the exit code."""
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    broken = min(images.glob("*.png"))
    broken.write_bytes(b"no picture")
    result = call("--out", tmp_path / "t", images=images)
    assert result.exit_code == 3
    assert f"{broken.name}: ImageError" in " ".join(result.stderr.split())
    assert "failed 1" in " ".join(result.stderr.split())


def test_what_failed_is_tried_again(call: Call, scenes: Path, tmp_path: Path) -> None:
    """--retry-failed says how many there are, and captions the file that was replaced."""
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    broken = min(images.glob("*.png"))
    broken.write_bytes(b"no picture")
    assert call("--out", tmp_path / "t", images=images).exit_code == 3
    shutil.copy(scenes / broken.name, broken)
    result = call("--out", tmp_path / "t", "--retry-failed", "--retries", 0, images=images)
    assert result.exit_code == 0
    assert "1 images that failed" in " ".join(result.stderr.split())
    assert len(CalibrationTable.load(tmp_path / "t").image_ids) == IMAGES


def test_nothing_readable_is_a_failure(call: Call, scenes: Path, tmp_path: Path) -> None:
    """With no caption at all the exit code is 1."""
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    for path in images.glob("*.png"):
        path.write_bytes(b"no picture")
    result = call("--out", tmp_path / "t", images=images)
    assert result.exit_code == 1
    assert "failed 6" in " ".join(result.stderr.split())


def test_bad_input_is_refused_before_the_model_is_loaded(
    call: Call, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images without annotations, broken annotations, a category the lexicon does not know."""

    def load(*_: object, **__: object) -> None:
        pytest.fail("the model was loaded")

    monkeypatch.setattr(Monitor, "from_pretrained", load)
    extra = Path(shutil.copytree(scenes, tmp_path / "images"))
    shutil.copy(min(extra.glob("*.png")), extra / "stray.png")
    result = call("--out", tmp_path / "t", images=extra)
    assert result.exit_code == 1
    assert "stray.png" in result.stderr
    data = json.loads((scenes / "instances.json").read_text())
    data["categories"][0]["name"] = "flux capacitor"
    strange = tmp_path / "strange.json"
    strange.write_text(json.dumps(data))
    result = call("--out", tmp_path / "t", annotations=strange)
    assert result.exit_code == 1
    assert "flux capacitor" in result.stderr
    cut = tmp_path / "cut.json"
    cut.write_text((scenes / "instances.json").read_text()[:200])
    result = call("--out", tmp_path / "t", annotations=cut)
    assert result.exit_code == 1
    assert "cut.json" in result.stderr
    assert not (tmp_path / "t").exists()


def test_other_settings_and_other_writers_are_refused(call: Call, tmp_path: Path) -> None:
    """A table keeps its prompt; two processes do not write one table."""
    out = tmp_path / "t"
    call("--out", out, "--limit", 3)
    result = call("--out", out, "--prompt", "What is there?")
    assert result.exit_code == 1
    assert "begun with other settings" in " ".join(result.stderr.split())
    with TableFolder(out, read_header(out)):
        result = call("--out", out)
    assert result.exit_code == 1
    assert "Another process is writing" in result.stderr


def test_interrupted_it_says_how_to_go_on(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C keeps what is finished; the exit code is 130."""
    real, calls = Recorder.transcripts, []

    def transcripts(self: Recorder, sequences: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, sequences)

    monkeypatch.setattr(Recorder, "transcripts", transcripts)
    result = call("--out", tmp_path / "t")
    assert result.exit_code == 130
    assert "The same command continues" in " ".join(result.stderr.split())
    assert len(CalibrationTable.load(tmp_path / "t").image_ids) == 3


def test_help_teaches_by_example() -> None:
    """The help of both commands shows complete command lines."""
    for command, shown in (
        ("collect", "sightline calibrate collect --images scenes/"),
        ("merge", "sightline calibrate merge shard1/ shard2/ --out table/"),
    ):
        result = CliRunner().invoke(main, ["calibrate", command, "--help"])
        assert result.exit_code == 0
        assert shown in result.stdout
