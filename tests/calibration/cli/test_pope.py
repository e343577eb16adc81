"""``sightline evaluate pope``: what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sightline.calibration.cli.evaluate import evaluate
from sightline.calibration.cli.pope import pope
from sightline.calibration.scenes.coco import export, file_name
from sightline.calibration.scenes.seeds import seeds


def _write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _run(*arguments: object, width: int = 200) -> Result:
    return CliRunner(env={"COLUMNS": str(width)}).invoke(pope, [str(a) for a in arguments])


@pytest.fixture(name="files")
def _files(tmp_path: Path) -> tuple[Path, Path]:
    """Two splits of two questions each."""
    image = file_name(seeds("development", 1, start=7_000)[0])
    first, second = (
        _write(
            tmp_path / f"x_pope_{name}.json",
            {"question_id": 1, "image": image, "text": f"Is there a {yes}?", "label": "yes"},
            {"question_id": 2, "image": "2.png", "text": f"Is there a {no}?", "label": "no"},
        )
        for name, yes, no in (("random", "dog", "cat"), ("popular", "car", "bus"))
    )
    return first, second


def test_figures_as_json(tmp_path: Path, files: tuple[Path, Path]) -> None:
    """For each split, over all and as plain means; officially and in words."""
    random = _write(tmp_path / "random", {"answer": "Yes"}, {"answer": "A kitchen."})
    popular = _write(tmp_path / "popular", {"answer": "No"}, {"answer": "No."})
    done = _run(*files, "--answers", random, "--answers", popular, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["kind"], list(found["splits"])) == ("pope", ["random", "popular"])
    official, words = (found["splits"]["random"][how] for how in ("official", "in words"))
    assert (official["accuracy"]["value"], words["accuracy"]["value"]) == (0.5, 0.5)
    assert (official["yes"]["value"], words["yes"]["value"]) == (1, 0.5)
    assert words["unanswered"]["value"] == 0.5
    assert found["splits"]["popular"]["official"]["precision"]["value"] is None
    assert found["all"]["official"]["questions"] == 4
    assert found["all"]["official"]["f1"]["value"] == pytest.approx(2 / 4)
    assert found["means"]["official"]["f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["flagged"] is None
    said = " ".join(found["limitations"])
    assert "1 of 4 answers say neither yes nor no" in said
    assert "taken on trust" in said
    assert "Only 2 images" in said


def test_a_table_for_people(tmp_path: Path, files: tuple[Path, Path]) -> None:
    """Splits below each other; on a narrow terminal nothing is lost."""
    answers = _write(tmp_path / "a", *({"answer": a} for a in ("Yes", "No", "Yes", "Yes")))
    for width in (80, 200):
        done = _run(*files, "--answers", answers, width=width)
        assert done.exit_code == 0, done.output
        for words in ("random", "popular", "all", "mean", "official", "in words", "75.0%", "Note"):
            assert words in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= width


def test_the_model_answers(tmp_path: Path, files: tuple[Path, Path]) -> None:
    """Watched, resumable, a missing image recorded: the small model describes, and says no yes."""
    images, out = tmp_path / "scenes", tmp_path / "answers.jsonl"
    export(seeds("development", 1, start=7_000), images)
    command = (files[0], "--images", images, "--out", out, "--suffix", "In a word.")
    done = _run(*command, "--max-new-tokens", 12, "--json")
    assert done.exit_code == 3, done.output
    found = json.loads(done.stdout)
    assert found["failures"] == 1
    assert found["all"]["official"]["accuracy"]["value"] == 1
    assert found["all"]["in words"]["unanswered"]["value"] == 1
    assert found["flagged"]["right"]["answers"] == 1
    assert "calibrated with another prompt" in " ".join(done.stderr.split())
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows[0]["question"] == "Is there a dog?\nIn a word."
    assert "No such image" in rows[1]["error"]
    again = _run(*command, "--max-new-tokens", 12)
    assert "2 of 2 answers are in" in again.stderr
    assert "No such image" in again.stderr
    assert "Answers with a word flagged" in again.stdout
    later = _run(files[0], "--answers", out, "--json")
    assert json.loads(later.stdout)["all"] == found["all"]


def test_faults_end_with_a_message(tmp_path: Path, files: tuple[Path, Path]) -> None:
    """Wrong use is 2, bad files are 1; no traceback."""
    answers = _write(tmp_path / "a", {"answer": "Yes"})
    assert _run(files[0]).exit_code == 2
    assert _run(files[0], "--answers", answers, "--images", tmp_path).exit_code == 2
    assert _run(files[0], "--answers", answers, "--out", tmp_path / "o").exit_code == 2
    assert _run(files[0], "--images", tmp_path, "--retry-failed").exit_code == 2
    few = _run(files[0], "--answers", answers)
    assert (few.exit_code, "of 2 questions there are 1 answers" in few.stderr) == (1, True)
    nothing = _run(files[0], "--images", tmp_path)
    assert (nothing.exit_code, "Is --images the folder" in nothing.stderr) == (1, True)


def test_help_teaches_by_example() -> None:
    """The group lists the command, and its help shows questions and both kinds of answers."""
    assert "pope" in CliRunner().invoke(evaluate, ["--help"]).stdout
    text = _run("--help").stdout
    for words in ("coco_pope_random.json", '"label": "yes"', '"answer":', '"text": "Yes"'):
        assert words in text
