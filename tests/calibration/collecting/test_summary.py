"""A table in numbers, and what it cannot be relied on for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sightline.calibration.collecting.captions import TableCaption
from sightline.calibration.collecting.summary import Summary

CAPTION = TableCaption(
    image_id="1",
    file="1.png",
    truth=("cat", "dog"),
    objects=("dog", "bird"),
    labels=(0, 1),
    text="A dog and a bird.",
    tokens=7,
    finish="eos",
    seconds=0.1,
    error=None,
)


def summary(*captions: TableCaption) -> Summary:
    """The summary of a table of these captions."""
    return Summary.of(Path("t"), captions, "hash")


def test_figures_are_those_of_chair() -> None:
    """Two captions, one of which hallucinates, and an image that failed."""
    clean = replace(CAPTION, objects=("cat",), labels=(0,), finish="length")
    failed = replace(CAPTION, objects=(), labels=(), text=None, error="ImageError: broken")
    found = summary(CAPTION, clean, failed)
    assert (found.captions, found.failed, found.mentions) == (2, 1, 3)
    assert found.hallucinated == pytest.approx(1 / 3)
    assert found.chair_i is not None
    assert found.chair_i.value == pytest.approx(1 / 3)
    assert found.chair_s is not None
    assert found.chair_s.value == 0.5
    assert found.recall is not None
    assert found.recall.value == 0.5
    assert found.ended == 0.5
    assert json.loads(json.dumps(found.to_dict()))["table"] == "t"


def test_mentions_without_a_label_are_left_out_of_chair() -> None:
    """They are counted, and said."""
    found = summary(replace(CAPTION, objects=("dog", "drone"), labels=(0, None)))
    assert (found.mentions, found.unlabelled, found.hallucinated) == (2, 1, 0)
    assert found.chair_i is not None
    assert found.chair_i.value == 0
    assert any("do not cover" in said for said in found.limitations)


@pytest.mark.parametrize(
    ("captions", "said"),
    [
        ([CAPTION] * 29, "fewer than 30"),
        ([replace(CAPTION, objects=("dog",), labels=(0,))] * 40, "All mentions are real"),
        ([replace(CAPTION, objects=("bird",), labels=(1,))] * 40, "All mentions are hallucinated"),
        ([replace(CAPTION, objects=("bird",), labels=(None,))] * 40, "are without a label"),
        ([replace(CAPTION, objects=(), labels=())] * 40, "No caption mentions an object"),
    ],
)
def test_limitations_are_said(captions: list[TableCaption], said: str) -> None:
    """Too few images, one class, no labels, no objects: each in words."""
    assert any(said in one for one in summary(*captions).limitations)


def test_a_good_table_has_none() -> None:
    """Thirty captions of both classes are nothing to warn of."""
    assert summary(*[CAPTION] * 30).limitations == ()


def test_nothing_captioned_has_no_figures() -> None:
    """With every image failed there is no share of anything."""
    found = summary(replace(CAPTION, objects=(), labels=(), text=None, error="x"))
    assert (found.captions, found.chair_i, found.hallucinated) == (0, None, None)
