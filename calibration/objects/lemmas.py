"""A caption as words in the form that the official CHAIR script compares: lemmas.

The script tokenizes with NLTK, tags parts of speech with NLTK's perceptron and lemmatises each
word by its tag with WordNet. Where NLTK's data is installed, :mod:`.nltklemmas` does exactly that.
It cannot be shipped, so that :class:`BuiltIn` reproduces by rule what it does to the words that
CHAIR counts, and leaves all others as they are.

The tagger sees lower-cased text, and where it errs, CHAIR's counts change: a plural taken for an
adjective stays a plural and is not counted, an "-ing" form taken for a verb becomes an object. The
rules go by what comes before (nouns follow articles, possessives and adjectives) and, for a few
words, by what the tagger was seen to do; they are no tagger. How far they carry is measured in
``tests/calibration/test_official.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, Protocol

from nltk.tokenize import NLTKWordTokenizer

from ...monitor.language.tagger import TreebankTagger
from .inflections import participles_of, plurals_of


class Lemmas(Protocol):
    """Anything that turns a caption into lower-case lemmas and punctuation marks, in order."""

    @property
    def name(self) -> str:
        """What it is called in results: "nltk" or "built in"."""
        ...

    def __call__(self, caption: str) -> list[str]:
        """The lemmas of a caption."""
        ...


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POSSESSIVE: Final = _words("her his its my our their your")
_BEFORE_NOUNS: Final = _POSSESSIVE | _words("a an any each every more no some the this time")
_ADJECTIVES: Final = _words("daily downhill early friendly lively lonely ugly weekly")
"""Adjectives to NLTK's tagger that ours takes for adverbs."""

_PARTICIPLES: Final = _words("built held hung left lit made put seen set spread")

_BREAK: Final = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"')\]”’])\s+")
_NO_BREAK: Final = re.compile(r"(?:^|[\s()\[\]{}\"';:@*!?])(?:-?[.,]?\d[\d,.-]*|[^\W\d])\.$")
"""A number or a single letter with a full stop: no sentence ends there if a word comes next."""


class BuiltIn:
    """NLTK's tagger and WordNet's lemmatiser by rule, for the words that matter.

    Args:
        words: the words whose inflected forms are lemmatised.
    """

    def __init__(self, words: frozenset[str]) -> None:
        self._plurals = plurals_of(words)
        self._participles = participles_of(words)

    @property
    def name(self) -> str:
        """See :class:`Lemmas`."""
        return "built in"

    def __call__(self, caption: str) -> list[str]:
        """See :class:`Lemmas`."""
        found: list[str] = []
        for sentence in _sentences(caption.lower()):
            words: list[str] = _tokenizer().tokenize(sentence)
            for place, word in enumerate(words):
                if word in self._participles and _is_verb(words, place):
                    found.append(self._participles[word])
                elif word in self._plurals and not _is_mistagged(words, place):
                    found.append(self._plurals[word])
                else:
                    found.append(word)
        return found


@cache
def _tokenizer() -> NLTKWordTokenizer:
    return NLTKWordTokenizer()


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for found in _BREAK.finditer(text):
        sentence = text[start : found.start()]
        if text[found.end() : found.end() + 1].isalpha() and _NO_BREAK.search(sentence):
            continue
        yield sentence
        start = found.end()
    yield text[start:]


def _is_verb(words: Sequence[str], place: int) -> bool:
    """Whether NLTK's tagger takes a participle for a verb rather than a noun or adjective."""
    word = words[place]
    before = words[place - 1] if place else ""
    after = words[place + 1] if place + 1 < len(words) else ""
    if word == "potted":
        return before == "and" or (place > 1 and words[place - 2] == "," and before != "a")
    if word == "parking":
        return before == "of"
    if not word.endswith("ing"):
        return True
    if word.endswith("boarding") and before in _POSSESSIVE:
        return True
    if word == "skiing" and before in ("about", "for", "of") and after != ",":
        return False  # a noun of its own in the Wall Street Journal
    return before not in _BEFORE_NOUNS and not _is_adjective(words, place - 1)


def _is_adjective(words: Sequence[str], place: int) -> bool:
    return place >= 0 and (words[place] in _ADJECTIVES or _tag(words, place) == "ADJ")


def _tag(words: Sequence[str], place: int) -> str:
    """Our own tagger's universal part of speech of a word of a sentence."""
    tagger = TreebankTagger.packaged()
    tags: list[str] = []
    for end in range(1, place + 2):
        after = words[end] if end < len(words) else None
        tags.append(tagger.confirmed(words[:end], tags, after))
    return tags[-1]


def _is_mistagged(words: Sequence[str], place: int) -> bool:
    """Whether NLTK's tagger is known to take a plural for no noun, so that it stays as it is.

    "umbrellas" is such a word (it never saw it) before a finite verb, "as" or a bracket.
    """
    if words[place] != "umbrellas" or place + 1 == len(words):
        return False
    after = words[place + 1]
    return after in ("as", ")") or (
        not after.endswith(("ed", "ing"))
        and after not in _PARTICIPLES
        and _tag(words, place + 1) == "VERB"
    )
