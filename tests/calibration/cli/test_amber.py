"""``sightline evaluate amber``: what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sightline.calibration.cli.amber import amber
from sightline.calibration.cli.evaluate import evaluate
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds

from ..benchmarks.amberfolder import vectors, write

SAID = ("A dog on the grass.", "The sky.", "No", "No, there is none", "Yes", "No", "No.", "No", "x")


def _run(*arguments: object, width: int = 200) -> Result:
    return CliRunner(env={"COLUMNS": str(width)}).invoke(amber, [str(a) for a in arguments])


@pytest.fixture(name="data")
def _data(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.fixture(name="responses")
def _responses(tmp_path: Path) -> Path:
    path = tmp_path / "responses.json"
    path.write_text(json.dumps([{"id": i, "response": r} for i, r in enumerate(SAID, 1)]))
    return path


def _json(*arguments: object) -> dict[str, Any]:
    done = _run(*arguments, "--reading", "built-in", "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_figures_as_json(data: Path, responses: Path) -> None:
    """Both tasks and the score, as counted by hand; and what found nouns and synonyms."""
    found = _json(responses, "--data", data)
    assert (found["nouns"], found["synonyms"]) == ("built in", "same lemma")
    value = {name: found["generative"][name]["value"] for name in ("chair", "cover", "hal", "cog")}
    assert value == {"chair": 33.3, "cover": 40.0, "hal": 50.0, "cog": 33.3}
    every = found["discriminative"]["discriminative"]
    # Right to the letter: 3 (no), 5 (yes); in words 4 and 7 (no) as well; 6 is "No" and right.
    assert every["official"]["accuracy"]["value"] == round(100 * 3 / 7.001, 1)
    assert every["in words"]["accuracy"]["value"] == round(100 * 5 / 7.001, 1)
    assert every["official"]["unanswered"] == pytest.approx(100 * 3 / 7)
    assert every["in words"]["unanswered"] == pytest.approx(100 * 1 / 7)
    f1 = every["official"]["f1"]["value"]
    assert found["amber_score"]["official"] == pytest.approx((100 - 33.3 + f1) / 2)
    assert list(found["discriminative"]) == [
        *("discriminative", "existence", "attribute", "state", "number", "action", "relation")
    ]
    said = " ".join(found["limitations"])
    assert "3 of 7 answers are not" in said
    assert "1 say neither" in said
    assert "en_core_web_lg" in said


def test_synonyms_by_vectors(tmp_path: Path, data: Path, responses: Path) -> None:
    """With the user's pipeline a dog that is like a ship is forgiven, and said so."""
    pipeline = vectors(tmp_path / "vectors", dog=(1, 0), ship=(1, 0))
    found = _json(responses, "--data", data, "--spacy", pipeline)
    assert found["generative"]["chair"]["value"] == 0
    assert found["generative"]["cog"]["value"] == 33.3
    assert "vectors" in found["synonyms"]
    assert "same lemma" not in " ".join(found["limitations"])


def test_tables_for_people(data: Path, responses: Path) -> None:
    """Descriptions, questions, the score; nothing is lost on a narrow terminal."""
    for width in (80, 200):
        done = _run(responses, "--data", data, width=width)
        assert done.exit_code == 0, done.output
        for words in ("CHAIR", "Cover", "Hal", "Cog", "existence", "state", "in words", "Note:"):
            assert words in done.stdout
        assert "AMBER score" in done.stdout
        assert "synonyms: same lemma" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= width


def test_part_of_it(tmp_path: Path, data: Path) -> None:
    """Descriptions alone have no score, and are said to be a part."""
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": 1, "response": "A dog."}\n')
    found = _json(path, "--data", data)
    assert (found["discriminative"], found["amber_score"]) == (None, None)
    assert "1 of AMBER's 2 descriptions" in " ".join(found["limitations"])


def test_the_model_describes_and_answers(tmp_path: Path) -> None:
    """All queries are put, those with yes or no for an answer with the suffix; it goes on later."""
    images, out = tmp_path / "scenes", tmp_path / "out.jsonl"
    export(seeds("development", 2, start=7_001), images)
    data = write(tmp_path, image="2000700{}.png")
    command = ("--data", data, "--images", images, "--out", out, "--max-new-tokens", 12)
    found = _json(*command, "--suffix", "In a word.")
    every = found["discriminative"]["discriminative"]
    assert every["in words"]["unanswered"] == 100
    assert every["official"]["accuracy"]["value"] == 0
    assert found["generative"]["responses"] == 2
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == list(range(1, 10))
    again = _run(*command)
    assert "9 of 9 answers are in" in again.stderr
    (images / rows[0]["image"]).unlink()
    some = _run(*command[:4], "--task", "g", "--max-new-tokens", 4)
    assert some.exit_code == 3
    assert "1 queries could not be put" in some.stdout


def test_faults_end_with_a_message(tmp_path: Path, data: Path, responses: Path) -> None:
    """Wrong use is 2, bad files are 1; no traceback."""
    assert _run("--data", data).exit_code == 2
    assert _run(responses, "--data", data, "--images", tmp_path).exit_code == 2
    assert _run(responses, "--data", data, "--out", tmp_path / "o").exit_code == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    none = _run(responses, "--data", empty)
    assert (none.exit_code, "could not be read" in none.stderr) == (1, True)
    missing = _run(responses, "--data", data, "--spacy", "no_such_pipeline")
    assert (missing.exit_code, "en_core_web_lg" in missing.stderr) == (1, True)


def test_help_teaches_by_example() -> None:
    """The group lists the command, and its help shows what responses look like."""
    assert "amber" in CliRunner().invoke(evaluate, ["--help"]).stdout
    assert '{"id": 1, "response":' in _run("--help").stdout
