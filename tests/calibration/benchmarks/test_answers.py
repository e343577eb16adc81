"""Which answer belongs to which question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sightline.calibration.benchmarks.answers import match
from sightline.calibration.benchmarks.errors import BenchmarkError
from sightline.calibration.benchmarks.questions import Split, load_splits


def _write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _question(number: int, thing: str, label: str = "yes") -> dict[str, object]:
    text = f"Is there a {thing} in the image?"
    return {"question_id": number, "image": f"{number}.png", "text": text, "label": label}


@pytest.fixture(name="splits")
def _splits(tmp_path: Path) -> tuple[Split, ...]:
    """Two files whose ids both begin at 1, as POPE's do."""
    return load_splits(
        [
            _write(tmp_path / "coco_pope_random.json", _question(1, "dog"), _question(2, "cat")),
            _write(tmp_path / "coco_pope_popular.json", _question(1, "bus"), _question(2, "tree")),
        ]
    )


def _texts(splits: tuple[Split, ...], *paths: Path, asked: Path | None = None) -> list[list[str]]:
    found = match(splits, paths, asked=asked)
    return [[str(a.text) for a in found.answers[split.name]] for split in splits]


def test_names_and_questions(splits: tuple[Split, ...]) -> None:
    """A split is called what its file is called."""
    assert [split.name for split in splits] == ["random", "popular"]
    assert splits[0].questions[1].text == "Is there a cat in the image?"


def test_a_file_for_each(tmp_path: Path, splits: tuple[Split, ...]) -> None:
    """POPE's answers go by order; if ids are the questions' own, by id."""
    in_order = _write(tmp_path / "a", {"answer": "A"}, {"answer": "B"})
    by_id = _write(tmp_path / "b", {"question_id": 2, "text": "D"}, {"question_id": 1, "text": "C"})
    assert _texts(splits, in_order, by_id) == [["A", "B"], ["C", "D"]]
    assert not match(splits, [in_order, by_id]).checked
    assert match(splits[1:], [by_id]).checked


def test_one_file_for_all(tmp_path: Path, splits: tuple[Split, ...]) -> None:
    """By the splits that lines name, by LLaVA's categories, or by order."""
    named = _write(
        tmp_path / "named",
        {"answer": "C", "split": "popular"},
        {"answer": "A", "split": "random"},
        {"answer": "D", "split": "popular"},
        {"answer": "B", "split": "random"},
    )
    assert _texts(splits, named) == [["A", "B"], ["C", "D"]]
    ids = {11: "C", 12: "A", 13: "D", 14: "B"}
    llava = _write(
        tmp_path / "llava", *({"question_id": i, "text": text} for i, text in ids.items())
    )
    asked = _write(
        tmp_path / "asked",
        *(
            {"question_id": i, "category": "popular" if text in "CD" else "random"}
            for i, text in ids.items()
        ),
    )
    assert _texts(splits, llava, asked=asked) == [["A", "B"], ["C", "D"]]
    plain = _write(tmp_path / "plain", *({"answer": text} for text in "ABCD"))
    assert _texts(splits, plain) == [["A", "B"], ["C", "D"]]


def test_answers_to_other_questions_are_refused(tmp_path: Path, splits: tuple[Split, ...]) -> None:
    """What a line says of its question must fit; the official scripts would count on."""
    rows = [
        {"question": "Is there a cat in the image?", "answer": "A"},
        {"question": "Is there a dog in the image?", "answer": "B"},
    ]
    swapped = _write(tmp_path / "swapped", *rows)
    with pytest.raises(BenchmarkError, match=r"line 1 must answer 'Is there a dog.*it answers"):
        match(splits[:1], [swapped])
    rows.reverse()
    lower = [{key: str(value).lower() for key, value in row.items()} for row in rows]
    assert match(splits[:1], [_write(tmp_path / "l", *lower)]).checked
    prompts = [{"prompt": f"{row['question']}\nAnswer in a word.", "text": "x"} for row in rows]
    assert match(splits[:1], [_write(tmp_path / "p", *prompts)]).checked
    other = _write(tmp_path / "o", {"answer": "A", "image": "9.png"}, {"answer": "B"})
    with pytest.raises(BenchmarkError, match=r"question on 1\.png, it is about 9\.png"):
        match(splits[:1], [other])


def test_too_few_answers_are_refused(tmp_path: Path, splits: tuple[Split, ...]) -> None:
    """A job that is not finished is no result."""
    one = _write(tmp_path / "one", {"answer": "A"})
    with pytest.raises(BenchmarkError, match="of 2 questions there are 1 answers"):
        match(splits[:1], [one])
    with pytest.raises(BenchmarkError, match="1 files with 1 answers"):
        match(splits, [one])
    strange = _write(tmp_path / "s", {"answer": "A", "split": "other"})
    with pytest.raises(BenchmarkError, match="some to: other"):
        match(splits, [strange])
    with pytest.raises(BenchmarkError, match="must have an answer or a text, it has: label"):
        match(splits[:1], [_write(tmp_path / "n", {"label": "yes"})])


def test_bad_questions_are_refused(tmp_path: Path) -> None:
    """Files that are no questions, and two of one name, end with the remedy."""
    row = _question(1, "dog")
    bad = {key: value for key, value in row.items() if key != "label"}
    with pytest.raises(BenchmarkError, match="it lacks: label"):
        Split.load(_write(tmp_path / "x.json", bad))
    with pytest.raises(BenchmarkError, match="label yes or no, was: 'maybe'"):
        Split.load(_write(tmp_path / "x.json", row | {"label": "maybe"}))
    with pytest.raises(BenchmarkError, match="it holds none"):
        Split.load(_write(tmp_path / "x.json"))
    (tmp_path / "x.json").write_text("{", encoding="utf-8")
    with pytest.raises(BenchmarkError, match="line 1 must be JSON"):
        Split.load(tmp_path / "x.json")
    same = _write(tmp_path / "coco_pope_random.json", row)
    with pytest.raises(BenchmarkError, match="several have: random"):
        load_splits([same, same])
