"""The script's own reading: how its parts are put together, and its results where they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nltk
import pytest
from nltk.tag.perceptron import PerceptronTagger
from nltk.tokenize import NLTKWordTokenizer
from sightline.calibration.objects.lemmas import Lemmas
from sightline.calibration.objects.nltklemmas import NltkDataError, NltkLemmas
from sightline.calibration.objects.official import built_in, read_officially

CAPTIONS = Path(__file__).parents[3] / "shared" / "data" / "real_captions"


def _tag(words: Sequence[str]) -> list[tuple[str, str]]:
    tags = {"seats": "VBZ", "red": "JJ", "cups": "NNS", "nearby": "RB", "the": "DT"}
    return [(word, tags.get(word, "IN")) for word in words]


def test_each_word_is_lemmatised_by_its_tag() -> None:
    """Verbs, nouns, adjectives and adverbs as such, all else as nouns, in lower case."""
    read = NltkLemmas(str.split, _tag, lambda word, pos: f"{word}/{pos}")
    expected = ["the/n", "red/a", "cups/n", "seats/v", "nearby/r", "of/n"]
    assert read("The red CUPS seats nearby of") == expected
    assert read("") == []


def test_a_tagger_that_errs_changes_the_count() -> None:
    """With NLTK's own tagger, taught that "umbrellas" is an adjective, none is counted."""
    tagger = PerceptronTagger(load=False)
    tagger.train([[("two", "CD"), ("umbrellas", "JJ")], [("two", "CD"), ("kites", "NNS")]])
    lemmas = {("umbrellas", "n"): "umbrella", ("kites", "n"): "kite"}
    read = NltkLemmas(
        NLTKWordTokenizer().tokenize, tagger.tag, lambda word, pos: lemmas.get((word, pos), word)
    )
    assert read_officially("Two umbrellas", lemmas=read).mentions == ()
    assert read_officially("Two kites", lemmas=read).mentions == (("kite", "kite"),)
    assert len(read_officially("Two umbrellas").mentions) == 1


def test_missing_data_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the packages and the command that installs them."""

    def missing(_: str) -> list[str]:
        raise LookupError("\n*****\n  Resource punkt_tab not found.\n*****")

    monkeypatch.setattr(nltk, "word_tokenize", missing)
    with pytest.raises(
        NltkDataError, match=r"Resource punkt_tab not found.*nltk\.downloader punkt"
    ):
        NltkLemmas.load()


@pytest.fixture(name="installed", scope="module")
def _installed() -> NltkLemmas:
    try:
        return NltkLemmas.load()
    except NltkDataError as error:
        pytest.skip(str(error))


def test_the_scripts_own_words(installed: NltkLemmas) -> None:
    """NLTK's data gives the script's lemmas of a sentence."""
    assert installed("The image shows two men.") == ["the", "image", "show", "two", "men", "."]


@pytest.mark.skipif(not CAPTIONS.is_dir(), reason="the shared real captions are not at hand")
@pytest.mark.parametrize("name", ["llava-1.5.greedy", "instructblip.greedy"])
def test_the_scripts_own_mentions(installed: NltkLemmas, name: str) -> None:
    """NLTK's data gives the script's mentions in at least as many captions as the rules do."""
    lines = (CAPTIONS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]

    def same(lemmas: Lemmas) -> int:
        return sum(
            [name for _, name in read_officially(row["caption"], lemmas=lemmas).mentions]
            == row["official"]["mentions"]
            for row in rows
        )

    assert same(installed) >= max(same(built_in()), 0.995 * len(rows))
