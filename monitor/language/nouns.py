"""The nouns and objects of a caption, as its words come.

Every word that the tagger takes for a noun is a mention, common or proper; so is every name of the
lexicon, the longest first, whatever its words are tagged (unless the lexicon calls the word
ambiguous). A mention is shown *provisionally* as soon as its word is complete, and is *confirmed*
one word later, or when no longer name of the lexicon can come of it: at most as many words later
as the longest name has.

Compounds are not merged: in "coffee table" the head, "table", is the mention that an object is
looked up for and that is judged. A noun outside the lexicon that stands right before another noun
or a hyphen ("coffee", the "T" of "T-shirt") says what the other one is like and names nothing by
itself: it is a mention that is not ``visible``. A name of the lexicon stays one in that place ("dog
house"), as CHAIR counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import simplemma
from spacy.language import Language

from ..events import Mention, Word
from .inflection import irregular_singular
from .lexicon import Lexicon
from .pipeline import SpacyTagger
from .tagger import NOUN_TAGS, Tagger, TreebankTagger
from .words import split_words

_ENDS: Final = frozenset(".!?…")
_CLOSES: Final = frozenset("\"'”’)]}»")


def noun_lemma(noun: str) -> str:
    """The dictionary form of a noun, lower case.

    Only what looks like a plural is looked up: a lemmatiser that knows no parts of speech makes
    a verb of "building".
    """
    noun = noun.lower()
    singular = irregular_singular(noun)
    if singular is not None:
        return singular
    if not noun.isalpha() or not noun.endswith("s") or noun.endswith("ss"):
        return noun
    lemma = simplemma.lemmatize(noun, lang="en").lower()
    if lemma == noun and not noun.endswith(("us", "is")) and not simplemma.is_known(noun, "en"):
        return noun[:-1]
    return lemma


class _Reading(NamedTuple):
    """What stands at one place of a sentence: a name, a noun or a word that is neither."""

    words: int
    mention: bool
    name: str | None
    lemma: str
    visible: bool


_NOTHING: Final = _Reading(1, False, None, "", False)


class NounSpotter:
    """Finds the mentions of one caption, word by word.

    Args:
        lexicon: which words name which object.
        tagger: tells nouns from other words; by default the packaged one. A spaCy pipeline that
            tags parts of speech may be given instead.
        row: the caption's row in its batch.

    Raises:
        ValueError: the spaCy pipeline does not tag parts of speech.
    """

    def __init__(
        self, lexicon: Lexicon, tagger: Tagger | Language | None = None, *, row: int = 0
    ) -> None:
        self.lexicon = lexicon
        self.row = row
        if tagger is None:
            tagger = TreebankTagger.packaged()
        self._tagger = SpacyTagger(tagger) if isinstance(tagger, Language) else tagger
        self._phrases = lexicon.phrases
        self._count = 0
        self._ended = -1  # where the last sentence ended
        self._begin()

    def _begin(self) -> None:
        self._words: list[Word] = []
        self._texts: list[str] = []
        self._tags: list[str] = []  # confirmed: of all words but the last
        self._glimpses: list[str] = []  # provisional: of all words
        self._next = 0  # the first word that is not yet read for good

    def push(self, word: Word) -> tuple[Mention, ...]:
        """Add a word and return the mentions it confirms, then its own provisional one, if any.

        A provisional mention may turn out not to be one, or part of a longer one; confirmed
        mentions are final, in order, and do not overlap.
        """
        found: list[Mention] = []
        if self._words:
            # White space of two characters and more separates paragraphs.
            if word.start - self._words[-1].end > 1:
                found += self._close()
            else:
                self._tags.append(self._tagger.confirmed(self._texts, self._tags, word.text))
        elif word.start == self._ended and word.text in _CLOSES:
            self._ended = word.end
            return ()
        self._words.append(word)
        self._texts.append(word.text)
        if word.text[0] in _ENDS:
            self._glimpses.append("PUNCT")
            found += self._close()
            return tuple(found)
        self._glimpses.append(self._tagger.provisional(self._texts, self._tags))
        found += self._confirmed(closed=False)
        found += self._provisional()
        return tuple(found)

    def undecided(self, *, objects: bool = False) -> Word | None:
        """The earliest word that may still be, or be part of, a mention that is not confirmed.

        Args:
            objects: only mentions with the name of an object count.
        """
        for place in range(self._next, len(self._words)):
            rest = self._texts[place:]
            if not objects or self._phrases.at_start(rest) or self._phrases.may_grow(rest):
                return self._words[place]
        return None

    def finish(self) -> tuple[Mention, ...]:
        """End the caption and return its last mentions. A second call returns none."""
        return tuple(self._close())

    def _close(self) -> list[Mention]:
        """End the sentence: nothing follows its last word."""
        if not self._words:
            return []
        self._tags.append(self._tagger.confirmed(self._texts, self._tags, None))
        found = self._confirmed(closed=True)
        self._ended = self._words[-1].end
        self._begin()
        return found

    def _confirmed(self, *, closed: bool) -> list[Mention]:
        """Read on for as long as no later word can change what was read."""
        found: list[Mention] = []
        size = len(self._words)
        while self._next < size and (
            closed or not self._phrases.may_grow(self._texts[self._next :])
        ):
            reading = self._read(self._next, self._tags)
            stop = self._next + reading.words
            if not closed and stop >= size:
                break
            if reading.mention:
                found.append(self._mention(self._next, reading, self._count, provisional=False))
                self._count += 1
            self._next = stop
        return found

    def _provisional(self) -> list[Mention]:
        """What the newest word would be if the sentence ended here."""
        index, place = self._count, self._next
        tags = [*self._tags, self._glimpses[-1]]
        while True:
            reading = self._read(place, tags)
            if place + reading.words == len(self._words):
                break
            place += reading.words
            index += reading.mention
        return [self._mention(place, reading, index, provisional=True)] if reading.mention else []

    def _read(self, place: int, tags: Sequence[str]) -> _Reading:
        """The reading of the word at ``place``, given the tags of it and of the words before it.

        A noun's right neighbour counts with its provisional tag: the confirmed one comes later.
        """
        lexicon, text = self.lexicon, self._texts[place]
        noun = place < len(tags) and tags[place] in NOUN_TAGS
        match = self._phrases.at_start(self._texts[place:])
        if match is not None:
            words, name = match
            form = " ".join(self._texts[place : place + words]).lower().replace(" - ", " ")
            if words > 1 or noun or form not in lexicon.ambiguous:
                lemma = lexicon.lemma(form) if name else noun_lemma(form)
                return _Reading(words, True, name, lemma, True)
        if not noun or not text[0].isalpha():  # "1980s", signs that a tagger took for a noun
            return _NOTHING
        lemma = noun_lemma(text)
        after = place + 1
        modifies = after < len(self._words) and (
            self._texts[after] == "-"
            if self._words[after].start == self._words[place].end
            else self._glimpses[after] in NOUN_TAGS
        )
        return _Reading(1, True, None, lemma, not modifies and lemma not in lexicon.invisible)

    def _mention(self, place: int, reading: _Reading, index: int, *, provisional: bool) -> Mention:
        first, last = self._words[place], self._words[place + reading.words - 1]
        return Mention(
            row=self.row,
            index=index,
            word=_joined(self._words[place : place + reading.words]),
            lemma=reading.lemma,
            object=reading.name,
            visible=reading.visible,
            start=first.start,
            end=last.end,
            first_token=first.first_token,
            last_token=last.last_token,
            provisional=provisional,
        )


def _joined(words: Sequence[Word]) -> str:
    """The words as they stand in the text; between two of them is a space or nothing."""
    text = words[0].text
    for before, word in pairwise(words):
        text += " " * (word.start - before.end) + word.text
    return text


def find_mentions(
    text: str, lexicon: Lexicon, tagger: Tagger | Language | None = None
) -> tuple[Mention, ...]:
    """The confirmed mentions of a finished text: those that are found while it is written.

    Row is 0; ``first_token`` and ``last_token`` are -1, for a text has no tokens.
    """
    spotter = NounSpotter(lexicon, tagger)
    found = [mention for word in split_words(text) for mention in spotter.push(word)]
    found += spotter.finish()
    return tuple(mention for mention in found if not mention.provisional)
