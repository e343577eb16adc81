"""Objects of finished captions: those the monitor finds, only faster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sightline.calibration.objects.labelling import find_objects, label
from sightline.monitor.language.lexicon import Lexicon
from sightline.monitor.language.nouns import find_mentions

COCO = Lexicon.load("coco")
CAPTIONS = Path(__file__).parents[3] / "shared" / "data" / "real_captions"


def _as_monitored(text: str) -> list[tuple[str, str | None, int, int]]:
    found = find_mentions(text, COCO)
    return [(m.word, m.object, m.start, m.end) for m in found if m.object is not None]


def _as_labelled(text: str) -> list[tuple[str, str | None, int, int]]:
    return [(m.word, m.object, m.start, m.end) for m in find_objects(text, COCO)]


_PIECES = (
    "the orange",
    "an orange",
    "is orange",
    "a remote",
    "remote",
    "bears",
    "she",
    "books a",
    "wine glasses",
    "hot-dog",
    "train tracks",
    "a T-shirt",
    "baby elephant",
    "patient",
    "ducks",
    "under",
    ".",
    ",",
    "\n\n",
)


@given(st.lists(st.sampled_from(_PIECES), max_size=25).map(" ".join))
@settings(max_examples=150, deadline=None)
def test_the_monitor_finds_the_same(text: str) -> None:
    """With a tagger that only looks where it matters, the object mentions stay the same."""
    assert _as_labelled(text) == _as_monitored(text)


@given(st.text(max_size=120))
@settings(max_examples=100, deadline=None)
def test_the_monitor_finds_the_same_in_any_text(text: str) -> None:
    """Nothing a model may write makes a difference."""
    assert _as_labelled(text) == _as_monitored(text)


@pytest.mark.skipif(not CAPTIONS.is_dir(), reason="the shared real captions are not at hand")
@pytest.mark.parametrize("name", ["llava-1.5.greedy", "instructblip.greedy"])
def test_the_monitor_finds_the_same_in_real_captions(name: str) -> None:
    """On captions of real models, too."""
    lines = (CAPTIONS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines[::4]:
        caption = json.loads(line)["caption"]
        assert _as_labelled(caption) == _as_monitored(caption)


def test_a_caption_is_held_against_its_image() -> None:
    """Mentions by canonical name, words in lower case without punctuation."""
    found = label("Two women, a hot dog and an orange!", frozenset({"person"}), COCO, ended=False)
    assert found.mentions == ("person", "hot dog", "orange")
    assert found.hallucinated == (False, True, True)
    assert found.words == ("two", "women", "a", "hot", "dog", "and", "an", "orange")
    assert found.ended is False


def test_an_empty_caption_names_nothing() -> None:
    """No text, no mentions, no words."""
    found = label("", frozenset({"person"}), COCO)
    assert found.mentions == found.words == ()
