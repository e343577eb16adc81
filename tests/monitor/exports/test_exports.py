"""Reports in other tools' formats, read back by those tools or their rules."""

from __future__ import annotations

import csv
import io
import json

import pytest
import spacy
from sightline.monitor.errors import InputError
from sightline.monitor.exports.coco import coco
from sightline.monitor.exports.docs import SPANS, docs
from sightline.monitor.exports.sarif import RULE, sarif
from sightline.monitor.exports.spreadsheet import COLUMNS, spreadsheet
from sightline.monitor.report import Failure, Report
from spacy.tokens import Doc

from ..reports import made_report

FAILURE = Failure(image="broken.png", error="ImageError", message="truncated")


def test_spreadsheet_has_a_line_for_each_noun() -> None:
    """Words, objects, flags and numbers come back from the CSV as they were; failures have none."""
    lines = list(csv.DictReader(io.StringIO("".join(spreadsheet([made_report(), FAILURE])))))
    assert tuple(lines[0]) == COLUMNS
    assert [(one["object"], one["flagged"]) for one in lines] == [("cat", "false"), ("dog", "true")]
    assert float(lines[1]["probability"]) == 0.9
    assert float(lines[0]["log_prob"]) == -0.5


@pytest.mark.parametrize("text", ["=HYPERLINK(1) cat", "@cat", "+cat", "-cat", "\tcat"])
def test_spreadsheet_runs_no_formula(text: str) -> None:
    """Captions that a spreadsheet would take for a formula are quoted."""
    report = made_report(text, objects=(("cat", "cat", 0.1),))
    (line,) = csv.DictReader(io.StringIO("".join(spreadsheet([report]))))
    assert line["caption"] == f"'{text}"


def test_docs_are_read_by_spacy() -> None:
    """Doc.from_json gives the text, and the nouns with their labels and names."""
    objects = (("cats", "cat", 0.1), ("hot dog", "hot dog", 0.8))
    (line,) = docs([FAILURE, made_report("Two cats, a hot dog.", objects=objects)])
    values = json.loads(line)
    doc = Doc(spacy.blank("en").vocab).from_json(values)
    assert doc.text == "Two cats, a hot dog."
    found = [(one.text, one.label_, one.kb_id_) for one in doc.spans[SPANS]]
    assert found == [("cats", "OBJECT", "cat"), ("hot dog", "FLAGGED", "hot dog")]
    assert values["meta"]["image"] == "photos/000000000042.png"


def test_sarif_has_a_result_for_each_flag() -> None:
    """The flagged object is a result at its image, the failed image a notification."""
    log = json.loads("".join(sarif([made_report(path="my photos/ä 1.png"), FAILURE])))
    (run,) = log["runs"]
    (result,) = run["results"]
    assert (log["version"], result["ruleId"], result["rank"]) == ("2.1.0", RULE, 90)
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == RULE
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert place == "my%20photos/%C3%A4%201.png"
    (failure,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "truncated" in failure["message"]["text"]


def test_coco_takes_the_number_of_the_file_name() -> None:
    """Ids are numbers, captions are text, and failed images are left out."""
    records: list[Report | Failure] = [
        made_report(path="val/COCO_val2014_000000391895.jpg"),
        FAILURE,
        made_report(),
    ]
    read = json.loads("".join(coco(records)))
    assert [one["image_id"] for one in read] == [391895, 42]
    assert read[0]["caption"] == "A cat and a dog."
    assert json.loads("".join(coco([]))) == []


@pytest.mark.parametrize(
    ("paths", "said"), [(("cat.png",), "cat.png"), (("a7.png", "b07.png"), "both number 7")]
)
def test_coco_refuses_names_without_a_number(paths: tuple[str, ...], said: str) -> None:
    """A file name without a number, or two with the same, are an error that names them."""
    with pytest.raises(InputError, match=said):
        list(coco(made_report(path=path) for path in paths))
