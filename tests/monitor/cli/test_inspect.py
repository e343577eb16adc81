"""`sightline inspect` and `sightline caption --inside`: a line out for each line in."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sightline.monitor.cli.main import main
from sightline.monitor.errors import InputError
from sightline.monitor.models.small import small_model_folder
from sightline.monitor.report import Failure, Report, parse_record


def run(*arguments: object) -> Result:
    """Runs a command."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three pictures, a broken one, and their reports with and without the inside."""
    folder = tmp_path_factory.mktemp("job")
    samples = files("sightline.monitor").joinpath("data", "samples")
    for number, name in enumerate("acd"):
        picture = samples.joinpath(f"4000000{number}.png")
        (folder / f"{name}.png").write_bytes(picture.read_bytes())
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:40])
    names = [folder / f"{name}.png" for name in "abcd"]
    for options, out in (((), "reports.jsonl"), (("--inside",), "inside.jsonl")):
        result = run("caption", *names, *options, "--max-new-tokens", 14, "--out", folder / out)
        assert result.exit_code == 3, result.stderr
    return folder


def records(path: Path) -> list[Any]:
    """The records of a file."""
    return [parse_record(line) for line in path.read_text().splitlines()]


def test_inside_is_what_inspect_finds(job: Path, tmp_path: Path) -> None:
    """Asked for at once or later, the reports say the same of the inside, and else as before."""
    out = tmp_path / "out.jsonl"
    result = run("inspect", job / "reports.jsonl", "--out", out)
    assert result.exit_code == 0, result.stderr
    pairs = zip(
        records(job / "reports.jsonl"), records(job / "inside.jsonl"), records(out), strict=True
    )
    nouns = 0
    for before, at_once, later in pairs:
        if isinstance(before, Failure):
            assert before == at_once == later
            continue
        assert later.inside == at_once.inside
        assert later.inside.reads is not None
        assert later.mentions == at_once.mentions
        nouns += len(later.mentions)
        assert before.inside is None
        assert later.tokens == before.tokens
    assert nouns


def test_it_goes_on_after_a_kill(job: Path, tmp_path: Path) -> None:
    """A file that was cut anywhere becomes the file of a run that was not."""
    whole = tmp_path / "whole.jsonl"
    assert run("inspect", job / "reports.jsonl", "--out", whole).exit_code == 0
    content = whole.read_bytes()
    out = tmp_path / "out.jsonl"
    for cut in (5, len(content) - 1):
        out.write_bytes(content[:cut])
        assert run("inspect", job / "reports.jsonl", "--out", out).exit_code == 0
        assert out.read_bytes() == content


def test_lines_of_another_file_are_not_gone_on_with(job: Path, tmp_path: Path) -> None:
    """What is in --out must be the beginning of what comes out."""
    lines = (job / "inside.jsonl").read_text().splitlines(keepends=True)
    out = tmp_path / "out.jsonl"
    out.write_text(lines[2])
    result = run("inspect", job / "inside.jsonl", "--out", out)
    assert result.exit_code == 1
    assert "line 1 is another's" in result.stderr
    assert out.read_text() == lines[2]


def test_what_is_known_is_not_looked_for(job: Path, tmp_path: Path) -> None:
    """Reports that have it all pass through, and those without the lens are done again."""
    result = run("inspect", job / "inside.jsonl")
    assert result.exit_code == 0
    assert "Inspected 0 captions" in result.stderr
    assert result.stdout == (job / "inside.jsonl").read_text()
    bare = run("inspect", job / "reports.jsonl", "--no-lens")
    assert "Inspected 3 captions" in bare.stderr
    again = tmp_path / "bare.jsonl"
    again.write_text(bare.stdout)
    report = records(again)[0]
    assert report.inside is not None
    assert report.inside.reads is None
    assert "Inspected 3 captions" in run("inspect", again).stderr


def test_one_bad_report_harms_no_other(job: Path, tmp_path: Path) -> None:
    """Pictures that are gone, of another size or not named: told one by one, the lines kept."""
    given = [json.loads(line) for line in (job / "reports.jsonl").read_text().splitlines()]
    given[0]["image"]["path"] = "gone.png"
    given[2]["image"]["width"] = 25
    given.append({**given[3], "image": None})
    given.append({**given[3], "model": {**given[3]["model"], "name": "another"}})
    lines = [parse_record(json.dumps(one)).to_json() for one in given]
    reports = tmp_path / "reports.jsonl"
    reports.write_text("\n".join(lines) + "\n")
    result = run("inspect", reports, "--images", job)
    assert result.exit_code == 3
    found = result.stdout.splitlines()
    assert [one == other for one, other in zip(found, lines, strict=True)] == [
        True,
        True,
        True,
        False,
        True,
        True,
    ]
    for message in (
        "gone.png: No such image file",
        "25 x 192 pixels, this one has 192 x 192",
        "says nothing",
        "the model that wrote it, another",
        "4 of 6 could not be inspected",
    ):
        assert message in " ".join(result.stderr.split()), message


def test_relative_paths_and_another_place(job: Path, tmp_path: Path) -> None:
    """--images says where relative paths start, --model where the model is now."""
    record = json.loads((job / "reports.jsonl").read_text().splitlines()[0])
    record["image"]["path"] = "a.png"
    record["model"]["name"] = "where/it/was"
    reports = tmp_path / "reports.jsonl"
    reports.write_text(json.dumps(record) + "\n")
    result = run("inspect", reports, "--images", job, "--model", small_model_folder())
    assert result.exit_code == 0, result.stderr
    found = parse_record(result.stdout)
    assert isinstance(found, Report)
    assert found.inside is not None


def test_what_cannot_start_says_why(job: Path, tmp_path: Path) -> None:
    """A file of something else, a model that is not there, a file that is read."""
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    assert "line 1 of" in run("inspect", other).stderr
    result = run("inspect", job / "reports.jsonl", "--model", "/no/such/folder")
    assert result.exit_code == 1
    assert "no such folder" in result.stderr
    result = run("inspect", job / "reports.jsonl", "--out", job / "reports.jsonl")
    assert result.exit_code == 2
    assert "is what is read" in result.stderr


def test_a_caption_that_cannot_be_looked_at_is_kept(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under --inside the report comes without it, the reason goes to stderr, nothing failed."""

    def blind(*_: object, **__: object) -> Report:
        raise InputError("it would be taken for a picture.")

    monkeypatch.setattr("sightline.monitor.cli.captioner.inspect", blind)
    result = run("caption", job / "a.png", "--inside", "--max-new-tokens", 5, "--json")
    assert result.exit_code == 0, result.stderr
    assert "not looked at again: it would be taken" in " ".join(result.stderr.split())
    report = parse_record(result.stdout)
    assert isinstance(report, Report)
    assert report.inside is None
