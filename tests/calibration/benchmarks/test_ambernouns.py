"""Nouns and synonyms, as the script finds them and as they are stood in for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import spacy
from sightline.calibration.benchmarks.ambernouns import (
    BuiltInNouns,
    NltkNouns,
    SameLemma,
    SpacyVectors,
)
from sightline.calibration.benchmarks.errors import BenchmarkError
from sightline.calibration.objects.nltklemmas import NltkLemmas

from .amberfolder import vectors

WORDS = frozenset(
    ("dog", "bench", "sunglasses", "leave", "shelf", "bus", "water", "person", "people")
)


def test_nltk_takes_all_kinds_of_nouns() -> None:
    """NN, NNS and proper nouns, lemmatised as nouns, in the case that they have."""
    asked = []

    def tag(words: Sequence[str]) -> list[tuple[str, str]]:
        tags = {"Dogs": "NNS", "chase": "VBP", "red": "JJ", "buses": "NNS", "Rome": "NNP"}
        return [(word, tags[word]) for word in words]

    def lemmatize(word: str, kind: str) -> str:
        asked.append((word, kind))
        return {"buses": "bus"}.get(word, word)

    nouns = NltkNouns(NltkLemmas(str.split, tag, lemmatize))
    assert nouns("Dogs chase red buses Rome") == ["Dogs", "bus", "Rome"]
    assert {kind for _, kind in asked} == {"n"}


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("Two dogs sit on a bench. The water is calm.", ["dog", "bench", "water"]),
        # A capital hides a word from the script, and so from us.
        ("Dogs are on the benches.", ["Dogs", "bench"]),
        ("He will leave the buses there.", ["bus"]),
        # WordNet makes these words that AMBER does not list.
        ("A man with sunglasses looks at the leaves.", ["man", "sunglass", "leaf"]),
        ("The shelves hold people.", ["shelf", "people"]),
    ],
)
def test_built_in(text: str, nouns: list[str]) -> None:
    """The packaged tagger finds them, a table of plurals makes them singular."""
    assert BuiltInNouns(WORDS)(text) == nouns


def test_same_lemma() -> None:
    """Without vectors only forms of one word are synonyms."""
    same = SameLemma()
    assert same("dogs", "dog")
    assert same("dog", "dog")
    assert not same("dog", "puppy")


def test_vectors(tmp_path: Path) -> None:
    """Cosine similarity above the threshold, by the user's pipeline; a word is like itself."""
    folder = str(vectors(tmp_path / "vectors", sofa=(1, 0), couch=(0.9, 0.4), dog=(0, 1)))
    like = SpacyVectors(folder)
    assert like("sofa", "couch")
    assert not like("couch", "dog")
    assert like("zebra", "zebra")
    assert not like("zebra", "sofa")
    assert not SpacyVectors(folder, threshold=0.95)("sofa", "couch")
    assert "0.8" in like.name


def test_pipelines_that_will_not_do(tmp_path: Path) -> None:
    """No such pipeline, and one without vectors: what to install instead."""
    with pytest.raises(BenchmarkError, match="spacy download en_core_web_lg"):
        SpacyVectors("no_such_pipeline")
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(BenchmarkError, match="must have word vectors"):
        SpacyVectors(str(tmp_path / "blank"))
