"""Up to where a caption may be shown, word by word; without a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sightline.monitor.events import Mention, Word
from sightline.monitor.language.words import split_words
from sightline.monitor.policy.floor import floor
from sightline.monitor.policy.policy import ReleaseBy
from sightline.monitor.policy.spans import Sentences


class _Draft:
    """The part of a draft that the floor reads: words of one token each, the last incomplete."""

    def __init__(self, text: str, nouns: Sequence[str], undecided: str | None) -> None:
        self.sentences = Sentences()
        self.words: list[Word] = []
        self.mentions: list[Mention] = []
        self.undecided: int | None = None
        for place, word in enumerate(split_words(text)):
            one = Word(0, place, word.text, word.start, word.end, place, place)
            self.words.append(one)
            self.sentences.word(one)
            if word.text == undecided:
                self.undecided = place
            elif word.text in nouns:
                self.mentions.append(_mention(len(self.mentions), one))
        self.complete = len(self.words)


def _mention(index: int, word: Word) -> Mention:
    place = word.first_token
    return Mention(
        row=0,
        index=index,
        word=word.text,
        lemma=word.text,
        object=word.text,
        visible=True,
        start=word.start,
        end=word.end,
        first_token=place,
        last_token=place,
        provisional=False,
    )


@pytest.mark.parametrize(
    ("text", "undecided", "release", "shown"),
    [
        ("There are also", None, "phrase", ""),
        ("There are also a cat", "cat", "phrase", ""),
        ("There are also a cat", None, "phrase", "There are also a cat"),
        ("There are also a cat and", None, "phrase", "There are also a cat"),
        ("There are also a cat and a small dog", "dog", "phrase", "There are also a cat"),
        ("A cat sits on", None, "phrase", "A cat sits on"),
        ("A cat sits on the dog", "dog", "phrase", "A cat sits on"),
        ("A cat sits. A", None, "phrase", "A cat sits."),
        ("A cat sits. A dog", None, "phrase", "A cat sits. A dog"),
        ("A cat sits. A dog", None, "sentence", "A cat sits."),
    ],
)
def test_the_floor_lies_before_what_a_flag_would_take_along(
    text: str, undecided: str | None, release: ReleaseBy, shown: str
) -> None:
    """A sentence waits for its first noun; determiners and conjunctions wait for theirs."""
    draft: Any = _Draft(text, ("cat", "dog"), undecided)
    place = floor(draft, release)
    end = draft.words[place - 1].end if place else 0
    assert text[:end] == shown
