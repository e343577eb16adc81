"""How AMBER's script reads descriptions: the nouns in them, and which words mean about the same.

The script needs NLTK's data for the first and spaCy's en_core_web_lg for the second. Either is used
where the user has it, and stood in for by rule where not; results name what was used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, Protocol

import simplemma
from nltk.tokenize import NLTKWordTokenizer

from ...monitor.language.tagger import NOUN_TAGS, TreebankTagger
from ..objects.inflections import plurals_of
from ..objects.nltklemmas import NltkLemmas
from .errors import BenchmarkError

_ALSO: Final = {
    "chopsticks": "chopstick",
    "earrings": "earring",
    "leaves": "leaf",
    "slippers": "slipper",
    "sunglasses": "sunglass",
}
"""Plurals that AMBER lists, or whose look-alike it lists, and that WordNet turns into a singular.

So the script never counts them, although four of them are in relation.json.
"""

_BREAK: Final = re.compile(r"(?<=[.!?])\s+")


class Nouns(Protocol):
    """Anything that finds the nouns of a text, singular, in order, in the case they have there."""

    @property
    def name(self) -> str:
        """What results call it."""
        ...

    def __call__(self, text: str) -> list[str]:
        """The nouns of a text."""
        ...


class Similar(Protocol):
    """Anything that tells whether two words mean about the same."""

    @property
    def name(self) -> str:
        """What results call it."""
        ...

    def __call__(self, word: str, other: str) -> bool:
        """Whether they do."""
        ...


class NltkNouns:
    """The script's own: NLTK's tokenizer, its tagger (NN...), WordNet's lemmatiser for nouns.

    The text is not lower-cased, and WordNet knows lower case alone: "Dogs" that begin a sentence
    stay "Dogs", which is no word of AMBER's.

    Args:
        lemmas: the official reading of CHAIR, which has the same parts.
    """

    name = "NLTK"

    def __init__(self, lemmas: NltkLemmas) -> None:
        self._parts = lemmas

    def __call__(self, text: str) -> list[str]:
        """See :class:`Nouns`."""
        tagged = self._parts.tag(self._parts.tokenize(text))
        return [self._parts.lemmatize(word, "n") for word, tag in tagged if tag.startswith("NN")]


class BuiltInNouns:
    """The same by rule, with the packaged tagger, for the words that AMBER counts.

    Args:
        vocabulary: those words.
    """

    name = "built in"

    def __init__(self, vocabulary: frozenset[str]) -> None:
        self._singular = {**plurals_of(vocabulary), **_ALSO}
        self._tokenizer = NLTKWordTokenizer()
        self._tagger = TreebankTagger.packaged()

    def __call__(self, text: str) -> list[str]:
        """See :class:`Nouns`."""
        return [
            self._singular.get(word, word)
            for sentence in _BREAK.split(text)
            for word in self._in_sentence(sentence)
        ]

    def _in_sentence(self, sentence: str) -> Iterator[str]:
        words: list[str] = self._tokenizer.tokenize(sentence)
        tags: list[str] = []
        for end, word in enumerate(words, 1):
            after = words[end] if end < len(words) else None
            tags.append(self._tagger.confirmed(words[:end], tags, after))
            if tags[-1] in NOUN_TAGS:
                yield word


class SpacyVectors:
    """The script's own: cosine similarity of spaCy's word vectors, above a threshold.

    Args:
        pipeline: name or folder of a pipeline with vectors; the script's is en_core_web_lg.
        threshold: words mean about the same from above this on.

    Raises:
        BenchmarkError: it cannot be loaded, or has no vectors.
    """

    def __init__(self, pipeline: str, *, threshold: float = 0.8) -> None:
        import spacy

        self.name = f"spaCy {pipeline}, above {threshold:g}"
        try:
            self._nlp: Any = spacy.load(pipeline)
        except (OSError, ValueError) as error:
            raise BenchmarkError(
                f"The spaCy pipeline {pipeline!r} cannot be loaded. Install it, as by: python -m "
                f"spacy download en_core_web_lg; or leave --spacy out. ({error})"
            ) from error
        if not len(self._nlp.vocab.vectors):
            raise BenchmarkError(
                f"The spaCy pipeline must have word vectors, {pipeline!r} has none. Give "
                f"en_core_web_lg, which AMBER's script uses, or leave --spacy out."
            )
        self._threshold = threshold
        self._word = cache(self._nlp.make_doc)
        self._known = cache(self._compare)

    def __call__(self, word: str, other: str) -> bool:
        """See :class:`Similar`."""
        return self._known(word, other)

    def _compare(self, word: str, other: str) -> bool:
        one, two = self._word(word), self._word(other)
        if word != other and not (one.has_vector and two.has_vector):
            return False  # as spaCy has it, without its warning
        return float(one.similarity(two)) > self._threshold


class SameLemma:
    """Without vectors: words mean about the same if simplemma gives them the same lemma."""

    name = "same lemma"

    def __call__(self, word: str, other: str) -> bool:
        """See :class:`Similar`."""
        return word == other or _lemma(word) == _lemma(other)


@cache
def _lemma(word: str) -> str:
    return simplemma.lemmatize(word, lang="en").lower()
