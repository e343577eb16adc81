"""``sightline evaluate chair``: what it says, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sightline.calibration.cli.chair import chair
from sightline.calibration.cli.evaluate import evaluate
from sightline.calibration.objects.nltklemmas import NltkDataError, NltkLemmas

CAPTIONS = Path(__file__).parents[4] / "shared" / "data" / "real_captions"

OBJECTS = {"1": ["dog", "bench"], "2": ["bus"], "3": ["kite", "person"]}
LINES = (
    {"image_id": 1, "caption": "A dog and a cat; the cat is on a bench."},
    {"image_id": 2, "caption": "A bus."},
    {"image_id": 3, "caption": "Two men are seated."},
)


@pytest.fixture(name="annotations")
def _annotations(tmp_path: Path) -> Path:
    """Three images."""
    path = tmp_path / "objects.json"
    path.write_text(json.dumps(OBJECTS), encoding="utf-8")
    return path


def _file(folder: Path, *lines: object) -> Path:
    path = folder / "captions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(chair, [str(argument) for argument in arguments])


def test_figures_as_json(tmp_path: Path, annotations: Path) -> None:
    """One JSON object on stdout, the figures as counted by hand."""
    done = _run(_file(tmp_path, *LINES), "--annotations", annotations, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["kind"], found["mode"], found["captions"]) == ("chair", "sightline", 3)
    assert found["annotations"]["images"] == 3
    value = {name: figure["value"] for name, figure in found["figures"].items()}
    assert value["chair_s"] == pytest.approx(1 / 3)
    assert value["chair_i"] == pytest.approx(2 / 6)
    assert value["chair_i_unique"] == pytest.approx(1 / 5)
    assert value["recall"] == pytest.approx(4 / 5)
    assert value["precision"] == pytest.approx(4 / 5)
    assert value["f1"] == pytest.approx(4 / 5)
    assert value["truncated"] is None
    assert found["made_up"] == {"cat": 2}
    assert any("Only 3 captions" in note for note in found["limitations"])
    assert any("nobody knows" in note for note in found["limitations"])


def test_parity_counts_otherwise(tmp_path: Path, annotations: Path) -> None:
    """The official script sees no men, and a chair in who is seated."""
    done = _run(_file(tmp_path, *LINES), "--annotations", annotations, "--json", "--parity")
    found = json.loads(done.stdout)
    assert found["mode"] == "official"
    assert found["figures"]["chair_s"]["value"] == pytest.approx(2 / 3)
    assert found["figures"]["recall"]["value"] == pytest.approx(3 / 5)
    assert any("official script" in note for note in found["limitations"])


def test_the_reading_is_said(
    tmp_path: Path, annotations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NLTK's data where it is, the rules with a note and the remedy where it is not."""
    file = _file(tmp_path, *LINES)
    given = (file, "--annotations", annotations, "--parity")
    done = _run(*given, "--json", "--reading", "built-in")
    found = json.loads(done.stdout)
    assert found["reading"] == "built in"
    assert any("nltk.downloader" in note for note in found["limitations"])
    assert json.loads(_run(*given[:3], "--json").stdout)["reading"] is None

    monkeypatch.setattr(NltkLemmas, "load", lambda: NltkLemmas(str.split, _nouns, _same))
    found = json.loads(_run(*given, "--json").stdout)
    assert found["reading"] == "nltk"
    assert not any("nltk.downloader" in note for note in found["limitations"])
    assert "read by NLTK" in _run(*given).stdout

    def missing() -> NltkLemmas:
        raise NltkDataError("install it")

    monkeypatch.setattr(NltkLemmas, "load", missing)
    assert json.loads(_run(*given, "--json").stdout)["reading"] == "built in"
    refused = _run(*given, "--reading", "nltk")
    assert (refused.exit_code, "install it" in refused.stderr) == (1, True)
    assert _run(*given[:3], "--reading", "nltk").exit_code == 2


def _nouns(words: Sequence[str]) -> list[tuple[str, str]]:
    return [(word, "NN") for word in words]


def _same(word: str, _: str) -> str:
    return word


def test_a_table_for_people(tmp_path: Path, annotations: Path) -> None:
    """Every figure with its interval and what it counts, then what limits them."""
    done = _run(_file(tmp_path, *LINES), "--annotations", annotations)
    assert done.exit_code == 0, done.output
    for words in ("3 captions", "CHAIR_S", "33.3%", "recall", "80.0%", "Rep-2", "unknown", "Note:"):
        assert words in done.stdout


def test_details_of_each_caption(tmp_path: Path, annotations: Path) -> None:
    """What each caption names, which of it is made up, and what it misses; a line each."""
    out = tmp_path / "details.jsonl"
    done = _run(_file(tmp_path, *LINES), "--annotations", annotations, "--details", out)
    assert "made up most: cat 2" in done.stdout
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows[0] == {
        "line": 1,
        "image": "1",
        "mentions": ["dog", "cat", "cat", "bench"],
        "hallucinated": [False, True, True, False],
        "missed": [],
    }
    assert rows[2]["missed"] == ["kite"]
    nowhere = tmp_path / "none" / "details.jsonl"
    done = _run(_file(tmp_path, *LINES), "--annotations", annotations, "--details", nowhere)
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr


def test_what_is_left_out_or_empty_is_said(tmp_path: Path, annotations: Path) -> None:
    """Empty captions, failures and images without annotations are counted aloud."""
    failure = {"version": 1, "kind": "failure", "image": "d", "error": "E", "message": "m"}
    file = _file(
        tmp_path, LINES[0], {"image_id": 2, "caption": " "}, failure, {"image_id": 9, "caption": ""}
    )
    refused = _run(file, "--annotations", annotations)
    assert refused.exit_code == 1
    assert "1 of 3 captions (line 4)" in refused.stderr
    done = _run(file, "--annotations", annotations, "--skip-unannotated", "--json")
    found = json.loads(done.stdout)
    assert (found["captions"], found["empty"]) == (2, 1)
    assert found["left_out"] == {"failures": 1, "unannotated": 1}
    said = " ".join(found["limitations"])
    assert "1 of 2 captions are empty (line 2)" in said
    assert "1 images have no caption" in said
    assert "without annotations (line 4) are left out" in said


def test_captions_that_name_nothing_have_no_chair(tmp_path: Path, annotations: Path) -> None:
    """What is not defined is null and "unknown", never zero."""
    file = _file(tmp_path, {"image_id": 1, "caption": "It rains."})
    found = json.loads(_run(file, "--annotations", annotations, "--json").stdout)
    assert found["figures"]["chair_i"]["value"] is None
    assert any("No caption names an object" in note for note in found["limitations"])
    assert "unknown" in _run(file, "--annotations", annotations).stdout


def test_faults_end_with_a_message(tmp_path: Path, annotations: Path) -> None:
    """Bad lines, bad annotations and a lexicon that cannot be: one line, no traceback."""
    good = _file(tmp_path, *LINES)
    (tmp_path / "bad.json").write_text('{"1": ["wug"]}', encoding="utf-8")
    unknown = _run(good, "--annotations", tmp_path / "bad.json")
    assert unknown.exit_code == 1
    assert "'wug'" in unknown.stderr
    small = _run(good, "--annotations", annotations, "--lexicon", "none")
    assert small.exit_code == 1
    assert "a lexicon is one of" in small.stderr
    both = _run(good, "--annotations", annotations, "--lexicon", "small", "--parity")
    assert both.exit_code == 2
    assert "--lexicon must be coco" in both.stderr
    (tmp_path / "captions.jsonl").write_text("{", encoding="utf-8")
    cut = _run(good, "--annotations", annotations)
    assert cut.exit_code == 1
    assert "line 1 must be JSON" in cut.stderr


def test_help_teaches_by_example() -> None:
    """The group lists the command, and its help shows both kinds of input."""
    listed = CliRunner().invoke(evaluate, ["--help"])
    assert "chair" in listed.stdout
    text = _run("--help").stdout
    assert "--parity" in text
    assert '{"image_id": 139, "caption":' in text


@pytest.mark.skipif(not CAPTIONS.is_dir(), reason="the shared real captions are not at hand")
def test_published_captions(tmp_path: Path) -> None:
    """On LLaVA-1.5's captions, parity gives the official CHAIR within 0.2 points."""
    file = CAPTIONS / "llava-1.5.greedy.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    truth = {str(row["image_id"]): row["image_objects"] for row in rows}
    (tmp_path / "objects.json").write_text(json.dumps(truth), encoding="utf-8")
    done = _run(file, "--annotations", tmp_path / "objects.json", "--parity", "--json")
    figures = json.loads(done.stdout)["figures"]
    official = json.loads((CAPTIONS / "official_overall.json").read_text(encoding="utf-8"))
    expected = official["llava-1.5.greedy"]
    assert figures["chair_s"]["value"] == pytest.approx(expected["CHAIRs"], abs=0.002)
    assert figures["chair_i"]["value"] == pytest.approx(expected["CHAIRi"], abs=0.002)
