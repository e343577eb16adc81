"""Parts of speech as a sentence grows."""

from __future__ import annotations

import gzip
import json
from importlib import resources

import pytest
import spacy
from nltk.tag.perceptron import AveragedPerceptron
from sightline.monitor.language.pipeline import SpacyTagger
from sightline.monitor.language.tagger import NOUN_TAGS, Tagger, TagModel, TreebankTagger, features
from sightline.monitor.language.words import split_words
from spacy.language import Language
from spacy.tokens import Doc

TEXT = "Two dogs run near the old red train and a woman takes pictures of them."
SENTENCE = [word.text for word in split_words(TEXT)]
# fmt: off
GOLD = [
    "NUM", "NOUN", "VERB", "ADP", "DET", "ADJ", "ADJ", "NOUN",
    "CCONJ", "DET", "NOUN", "VERB", "NOUN", "ADP", "PRON", "PUNCT",
]
# fmt: on


def _confirmed(tagger: Tagger, words: list[str]) -> list[str]:
    tags: list[str] = []
    for place in range(len(words)):
        following = words[place + 1] if place + 1 < len(words) else None
        tags.append(tagger.confirmed(words[: place + 1], tags, following))
    return tags


def test_the_packaged_taggers_know_a_plain_sentence() -> None:
    """Every word of a simple sentence gets its tag, seeing one word ahead or none."""
    tagger = TreebankTagger.packaged()
    assert _confirmed(tagger, SENTENCE) == GOLD
    for place, tag in enumerate(GOLD):
        given = tagger.provisional(SENTENCE[: place + 1], GOLD[:place])
        assert (given in NOUN_TAGS) == (tag in NOUN_TAGS)


def test_the_provisional_tagger_never_looks_ahead() -> None:
    """Without the word to come no feature speaks of it; with it, four do."""
    blind = features(["a", "dog"], ["DET"], "house", sees_next=False)
    assert blind == features(["a", "dog"], ["DET"], None, sees_next=False)
    seeing = features(["a", "dog"], ["DET"], "house", sees_next=True)
    assert [name for name in seeing if name not in blind] == [
        "word+1 house",
        "suffix+1 use",
        "word suffix+1 dog se",
        "tag-1 suffix+1 DET use",
    ]


def test_one_word_ahead_changes_the_mind() -> None:
    """The two taggers exist because the next word tells a noun from a modifier or a verb."""
    tagger = TreebankTagger.packaged()
    assert tagger.confirmed(["She", "can"], ["PRON"], "swim") == "AUX"
    assert tagger.confirmed(["the"], [], "can") == "DET"


def test_remembered_features_are_the_features() -> None:
    """The rows that tagging sums up are those of the named features, first time and later."""
    tagger = TreebankTagger.packaged()
    words = ["It", "has", "3.5", "well-known", "dogs", "-", "dogs", "1984", "é", "zzyzx"]
    tags = ["PRON", "VERB", "NUM", "ADJ", "NOUN", "PUNCT", "NOUN", "NUM", "X"]
    for model in (tagger.confirmed_model, tagger.provisional_model):
        for _ in range(2):
            for place in range(len(words)):
                for following in (None, "near", "2"):
                    seen, before = words[: place + 1], tags[:place]
                    names = features(seen, before, following, sees_next=model.sees_next)
                    rows = [model.rows[name] for name in names if name in model.rows]
                    assert sorted(model._rows_of(seen, before, following)) == sorted(rows)


def test_the_table_decides_as_nltk_does() -> None:
    """The dense table gives NLTK's own predictions, ties included."""
    model = TreebankTagger.packaged().confirmed_model
    weights = {
        name: {
            tag: int(weight)
            for tag, weight in zip(model.classes, model.weights[row], strict=True)
            if weight
        }
        for name, row in model.rows.items()
    }
    nltk = AveragedPerceptron.decode_json_obj(weights)
    nltk.classes = set(model.classes)
    unknown = ["Zxqv", "frobnicates", "9to5", "🙂", "blue-ish", "xX"]
    words: list[str] = []
    tags: list[str] = []
    for word in SENTENCE + unknown:
        words.append(word)
        seen = features(words, tags, "of", sees_next=True)
        expected = model.dictionary.get(word) or nltk.predict(dict.fromkeys(seen, 1))[0]
        tags.append(model.tag(words, tags, "of"))
        assert tags[-1] == expected
    tied = TagModel.of({}, classes={"ADJ", "X"}, dictionary={}, sees_next=False)
    nltk = AveragedPerceptron.decode_json_obj({"unseen": {}})
    nltk.classes = {"ADJ", "X"}
    assert tied.tag(["a"], []) == nltk.predict({"bias": 1})[0]


@pytest.mark.once
def test_a_model_survives_its_file() -> None:
    """Packing and reading gives the same bytes again, and the same tags."""
    model = TreebankTagger.packaged().provisional_model
    again = TagModel.from_bytes(model.to_bytes())
    assert again.to_bytes() == model.to_bytes()
    assert again.tag(["a", "unicycle"], ["DET"]) == model.tag(["a", "unicycle"], ["DET"])


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"no gzip", "reading it failed"),
        (gzip.compress(b"{", mtime=0), "reading it failed"),
        (gzip.compress(json.dumps({"format": "other"}).encode(), mtime=0), "needs the format"),
        (gzip.compress(b"[]", mtime=0), "needs the format"),
    ],
)
def test_a_faulty_model_file_is_refused(packed: bytes, message: str) -> None:
    """What is no tagger of this format says so and names the training command."""
    with pytest.raises(ValueError, match=message):
        TagModel.from_bytes(packed)


def test_the_shipped_scores_meet_the_aim_and_carry_their_licence() -> None:
    """Noun F1 on the treebank's test part is at least 95 confirmed and 94 provisional."""
    folder = resources.files("sightline.monitor") / "data" / "taggers"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["test"]["confirmed"]["noun_f1"] >= 95
    assert results["test"]["provisional"]["noun_f1"] >= 94
    assert "Attribution-ShareAlike 4.0" in (folder / "LICENSE").read_text(encoding="utf-8")


@Language.component("tests_nouns_after_the")
def _nouns_after_the(doc: Doc) -> Doc:
    for token in doc:
        token.pos_ = "NOUN" if token.i and doc[token.i - 1].lower_ in ("a", "the") else "X"
    return doc


@Language.component("tests_penn")
def _penn(doc: Doc) -> Doc:
    for token in doc:
        token.tag_ = "NNS" if token.text.endswith("s") else "DT"
    return doc


def test_a_spacy_pipeline_can_stand_in() -> None:
    """A user's pipeline tags our words, by universal or by Penn tags."""
    pipeline = spacy.blank("en")
    pipeline.add_pipe("tests_nouns_after_the")
    assert _confirmed(SpacyTagger(pipeline), ["the", "dog", "sees", "a", "cat"]) == [
        "X",
        "NOUN",
        "X",
        "X",
        "NOUN",
    ]
    penn = spacy.blank("en")
    penn.add_pipe("tests_penn")
    assert SpacyTagger(penn).provisional(["two", "dogs"], ["DT"]) == "NOUN"


def test_a_pipeline_without_tags_is_refused() -> None:
    """A pipeline that tags nothing is refused at once, not found out in the report."""
    with pytest.raises(ValueError, match=r"must set token\.pos_"):
        SpacyTagger(spacy.blank("en"))
