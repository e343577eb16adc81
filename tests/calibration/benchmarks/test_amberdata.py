"""AMBER's files, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sightline.calibration.benchmarks.amberdata import AmberData, Fact, Picture, load_queries
from sightline.calibration.benchmarks.errors import BenchmarkError
from sightline.calibration.benchmarks.responses import Responses

from .amberfolder import write


def test_the_folder_or_the_one_above(tmp_path: Path) -> None:
    """The repository's folder will do as well as its data."""
    data = write(tmp_path)
    assert AmberData.load(tmp_path) == AmberData.load(data)
    found = AmberData.load(data)
    assert found.annotation(1) == Picture(("grass", "ground", "ship", "ship"), ("dog", "bird"))
    assert found.annotation(8) == Fact("relation", "yes")
    assert found.annotation(9) == Fact("relation", "no")
    assert found.annotation(5) == Fact("state", "yes")
    assert (found.annotation(0), found.annotation(10)) == (None, None)
    assert "vessel" in found.vocabulary
    assert found.start["ha_qa_ans_no_num"] == 0.001
    assert found.images[3] == "AMBER_1.jpg"
    assert [query.number for query in load_queries(tmp_path, "g")] == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("annotations.json", '[{"id": 2, "type": "relation", "truth": "no"}]', "order of its ids"),
        ("annotations.json", '[{"type": "relation", "truth": "maybe"}]', "yes or no"),
        ("annotations.json", '[{"type": "generative", "truth": "dog"}]', "must list objects"),
        ("annotations.json", '[{"type": "generative", "truth": ["x"], "hallu": []}]', "it names"),
        ("annotations.json", "{", "must be JSON"),
        ("relation.json", '{"a": "b"}', "a list of words"),
        ("relation.json", "[1", "line 1 is not"),
        ("metrics.txt", "chair_num=lots", "was|has: 'lots'"),
        ("query/query_all.json", '[{"id": 1}]', "id, image and query"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: str, said: str) -> None:
    """The message names the file and the place."""
    data = write(tmp_path)
    (data / name).write_text(content, encoding="utf-8")
    with pytest.raises(BenchmarkError, match=said):
        AmberData.load(data)
    (data / name).unlink()
    if not name.startswith("query"):
        with pytest.raises(BenchmarkError, match="could not be read"):
            AmberData.load(data)


def test_responses(tmp_path: Path) -> None:
    """A list as AMBER wants it, or lines with failures among them; no id twice, none of others'."""
    data, path = AmberData.load(write(tmp_path)), tmp_path / "r.json"
    path.write_text(json.dumps([{"id": 1, "response": "A dog."}, {"id": 3, "response": "No"}]))
    found = Responses.load(path, data)
    assert [one.text for one in (*found.descriptions, *found.answers)] == ["A dog.", "No"]
    path.write_text('{"id": 3, "response": "No"}\n{"id": 4, "error": "no image"}\n')
    found = Responses.load(path, data)
    assert (found.descriptions, len(found.answers), found.failures) == ((), 1, 1)
    for content, said in (
        ('{"id": 3, "response": "No"}\n' * 2, "answers 3 again"),
        ('{"id": 0, "response": "No"}', "from 1 to 9, was: 0"),
        ('{"id": 10, "response": "No"}', "from 1 to 9, was: 10"),
        ('{"id": "3", "response": "No"}', "was: '3'"),
        ('{"id": 3, "response": null}', "a text as response"),
        ('{"id": 4, "error": "no image"}', "all its 1 lines are failures"),
    ):
        path.write_text(content)
        with pytest.raises(BenchmarkError, match=said):
            Responses.load(path, data)
