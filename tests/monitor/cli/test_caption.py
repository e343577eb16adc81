"""`sightline caption`: reports on stdout and in files, failures beside them, exit codes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from rich.console import Console
from sightline.monitor.cli.main import main
from sightline.monitor.cli.run import CaptionRun
from sightline.monitor.cli.terminal import harmless
from sightline.monitor.models.identity import identity
from sightline.monitor.models.images import MAX_PIXELS, open_image
from sightline.monitor.report import Failure, Report, parse_record
from sightline.monitor.session import Monitor
from transformers import AutoModelForImageTextToText

from ..judges import TINY, judging

Call = Callable[..., Result]


@pytest.fixture
def album(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    """A folder with three good images, a broken one and a text file."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name, picture in zip("acd", pictures, strict=True):
        picture.save(folder / f"{name}.png")
    whole = (folder / "a.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def call(tiny_folder: Path) -> Call:
    """Runs `sightline caption` with the tiny model."""

    def invoke(*arguments: object) -> Result:
        command = ["caption", "--model", str(tiny_folder), "--max-new-tokens", "6"]
        return CliRunner().invoke(main, [*command, *map(str, arguments)])

    return invoke


def records(text: str) -> list[Report | Failure]:
    """The records of a text of JSON lines."""
    return [parse_record(line) for line in text.splitlines()]


def test_piped_output_is_json_lines(call: Call, album: Path) -> None:
    """One line per image, in order; the broken one has its own; exit code 3."""
    result = call(album)
    assert result.exit_code == 3, result.stderr
    first, broken, third, fourth = records(result.stdout)
    assert isinstance(broken, Failure)
    assert broken.image.endswith("b.png")
    assert broken.error == "ImageError"
    for record, name in ((first, "a.png"), (third, "c.png"), (fourth, "d.png")):
        assert isinstance(record, Report)
        assert record.image is not None
        assert record.image.path.endswith(name)
        assert record.settings["max_new_tokens"] == 6
    assert "1 of 4 images failed" in result.stderr
    assert "[1/4]" in result.stderr


def test_batches_give_the_same_captions(call: Call, album: Path) -> None:
    """Batched or one by one, the texts and nouns are the same."""
    singles = records(call(album).stdout)
    batched = records(call(album, "--batch-size", 2).stdout)
    key = [r.image.path for r in singles if isinstance(r, Report) and r.image is not None]
    again = [r.image.path for r in batched if isinstance(r, Report) and r.image is not None]
    assert key == again
    one, two = ([r for r in rs if isinstance(r, Report)] for rs in (singles, batched))
    assert [r.text for r in one] == [r.text for r in two]
    assert [[m.word for m in r.mentions] for r in one] == [
        [m.word for m in r.mentions] for r in two
    ]


def test_all_good_is_exit_code_0(call: Call, album: Path) -> None:
    """Two images, two reports, success."""
    result = call(album / "a.png", album / "c.png")
    assert result.exit_code == 0
    assert len(records(result.stdout)) == 2


def test_all_bad_is_exit_code_1(call: Call, album: Path) -> None:
    """Every failure has its line although nothing was captioned."""
    result = call(album / "b.png", album / "missing.png", album / "notes.txt")
    assert result.exit_code == 1
    found = records(result.stdout)
    assert [type(record) for record in found] == [Failure] * 3
    assert "No such image file" in getattr(found[1], "message", "")


def test_a_folder_without_images_is_exit_code_1(call: Call, tmp_path: Path) -> None:
    """The folder is named, and the model is not even loaded."""
    result = call(tmp_path)
    assert result.exit_code == 1
    assert str(tmp_path) in result.stderr
    assert result.stdout == ""


def test_no_arguments_is_a_usage_error(call: Call) -> None:
    """Exit code 2."""
    assert call().exit_code == 2
    assert call("x.png", "--max-new-tokens", 0).exit_code == 2


def test_reports_are_appended_to_a_file(call: Call, album: Path, tmp_path: Path) -> None:
    """--out keeps what was there, makes missing folders, and holds what stdout shows."""
    out = tmp_path / "deep" / "reports.jsonl"
    first = call(album / "a.png", "--out", out)
    second = call(album / "c.png", album / "b.png", "--out", out)
    assert (first.exit_code, second.exit_code) == (0, 3)
    assert out.read_text() == first.stdout + second.stdout
    assert len(records(out.read_text())) == 3


def test_an_unwritable_file_is_refused_before_the_model_loads(
    call: Call, album: Path, tmp_path: Path
) -> None:
    """A file where a folder should be: exit code 1 and a message."""
    (tmp_path / "file").write_text("")
    result = call(album / "a.png", "--out", tmp_path / "file" / "reports.jsonl")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_a_full_disk_keeps_whole_lines(
    call: Call, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails half-way is taken back; earlier reports stay; the command says so."""
    out = tmp_path / "reports.jsonl"
    write, calls = os.write, 0

    def full(file: int, data: bytes) -> int:
        nonlocal calls
        if data.startswith(b'{"version"'):
            calls += 1
            if calls == 2:
                write(file, data[:40])
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    result = call(album / "a.png", album / "c.png", album / "d.png", "--out", out)
    assert result.exit_code == 1
    assert "No space left" in result.stderr
    assert len(records(out.read_text())) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--layers", "4-9"], "layers 0-5"),
        (["--layers", "middle"], "two layer numbers"),
        (["--lexicon", "nope"], "nope"),
        (["--model", "/no/such/folder"], "save_pretrained"),
        (["--device", "nonsense"], "nonsense"),
    ],
)
def test_what_cannot_start_says_why(
    call: Call, album: Path, arguments: list[str], words: str
) -> None:
    """Exit code 1, one message, no traceback, nothing on stdout."""
    result = call(album / "a.png", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit)


def test_a_long_prompt_fails_image_by_image(call: Call, album: Path) -> None:
    """What is wrong with the prompt is told in each image's line."""
    result = call(album / "a.png", "--prompt", "describe " * 300)
    assert result.exit_code == 1
    (record,) = records(result.stdout)
    assert isinstance(record, Failure)
    assert "context" in record.message


def test_the_layer_range_reaches_the_report(call: Call, album: Path) -> None:
    """--layers is used and recorded as the user's."""
    (record,) = records(call(album / "a.png", "--layers", "2-4").stdout)
    assert isinstance(record, Report)
    assert (record.layers.first, record.layers.last, record.layers.source) == (2, 4, "user")


def test_an_image_that_breaks_the_model_harms_no_other(
    monitor: Monitor, album: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """If a batch fails, its images are captioned one by one, and only the culprit fails."""
    prepare = monitor.prepare
    culprit = Image.open(album / "c.png").convert("RGB").tobytes()

    def picky(images: Any, *rest: Any) -> Any:
        if any(image.tobytes() == culprit for image in images):
            raise RuntimeError("indigestible")
        return prepare(images, *rest)

    monkeypatch.setattr(monitor, "prepare", picky)
    code = _run(monitor).all([album / f"{name}.png" for name in "acd"], batch_size=3)
    assert code == 3
    a, c, d = records(capsys.readouterr().out)
    assert isinstance(a, Report)
    assert isinstance(d, Report)
    assert isinstance(c, Failure)
    assert (c.error, c.message) == ("RuntimeError", "indigestible")


def test_an_interrupt_keeps_what_is_finished(
    monitor: Monitor, album: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Ctrl-C ends with code 130 and the reports so far."""

    def interrupted(path: Path, **options: Any) -> Any:
        if path.name == "c.png":
            raise KeyboardInterrupt
        return open_image(path, **options)

    monkeypatch.setattr("sightline.monitor.cli.captioner.open_image", interrupted)
    assert _run(monitor).all([album / "a.png", album / "c.png"]) == 130
    assert len(records(capsys.readouterr().out)) == 1


def _run(monitor: Monitor, console: Console | None = None) -> CaptionRun:
    return CaptionRun(
        monitor=monitor,
        prompt="What?",
        max_new_tokens=6,
        max_pixels=MAX_PIXELS,
        record_file=None,
        console=console,
        log=Console(stderr=True),
    )


def test_a_terminal_gets_the_caption(monitor: Monitor, album: Path, capsys: Any) -> None:
    """On a terminal the text is shown under its file's name, and no JSON."""
    with open(os.devnull, "w") as nowhere:
        console = Console(file=nowhere, force_terminal=True, width=200, record=True)
        assert _run(monitor, console).all([album / "a.png"]) == 0
    assert capsys.readouterr().out == ""
    shown = console.export_text()
    (report,) = monitor.generate(
        **monitor.prepare([Image.open(album / "a.png")], "What?"), max_new_tokens=6
    ).reports
    assert "a.png" in shown
    assert harmless(report.text).split()[0] in shown


def test_the_records_are_json(call: Call, album: Path) -> None:
    """Each line parses by itself with any JSON reader."""
    for line in call(album).stdout.splitlines():
        assert json.loads(line)["version"] == 1


def test_a_calibration_is_given_by_folder(
    call: Call, tiny_folder: Path, album: Path, tmp_path: Path
) -> None:
    """Probabilities in every report; who judges is said once on stderr, however many images."""
    model = AutoModelForImageTextToText.from_pretrained(tiny_folder)
    judging("fused", identity(model, str(tiny_folder))).save(tmp_path / "artifact")
    result = call(album, "--calibration", tmp_path / "artifact", "--prompt", "What?")
    assert result.exit_code == 3, result.stderr
    reports = [r for r in records(result.stdout) if isinstance(r, Report)]
    assert len(reports) == 3
    for report in reports:
        assert report.calibration != "uncalibrated"
        assert report.calibration.kind == "calibrated"
        assert any("another prompt" in limit for limit in report.calibration.limits)
    said = " ".join(result.stderr.split())
    assert said.count("Judged by judge") == 1
    assert said.count("another prompt") == 1


@pytest.mark.parametrize("damage", ["model", "file", "nothing"])
def test_a_calibration_that_cannot_be_used_ends_the_command(
    call: Call, album: Path, tmp_path: Path, damage: str
) -> None:
    """Another model's, damaged or missing: exit code 1 or 2, the reason, no caption."""
    folder = tmp_path / "artifact"
    if damage != "nothing":
        judging("fused", replace(TINY, revision="sha256:other")).save(folder)
    if damage == "file":
        (folder / "arrays.safetensors").unlink()
    result = call(album, "--calibration", folder)
    assert result.exit_code == (2 if damage == "nothing" else 1)
    assert not result.stdout
    reason = {"model": "--allow-other-model", "file": "is not there", "nothing": "does not exist"}
    assert reason[damage] in " ".join(result.stderr.split())
    if damage == "model":
        assert call(album, "--calibration", folder, "--allow-other-model").exit_code == 3
