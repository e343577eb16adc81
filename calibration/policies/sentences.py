"""Sentences of a finished caption, as a policy sees them in a growing one."""

from __future__ import annotations

from dataclasses import replace

from ...monitor.language.words import split_words
from ...monitor.policy.spans import Sentences


def sentence_starts(text: str) -> tuple[int, ...]:
    """The characters at which the sentences of a caption begin, ascending; none if it is empty."""
    words = [
        # Numbered by word, where a growing caption has tokens.
        replace(word, first_token=number, last_token=number)
        for number, word in enumerate(split_words(text))
    ]
    sentences = Sentences()
    for word in words:
        sentences.word(word)
    firsts = sorted({sentences.start(number) for number in range(len(words))})
    return tuple(words[first].start for first in firsts)


def sentence_texts(text: str) -> tuple[str, ...]:
    """The sentences of a caption, with the white space that follows each."""
    starts = sentence_starts(text)
    ends = (*starts[1:], len(text))[: len(starts)]
    return tuple(text[start:end] for start, end in zip(starts, ends, strict=True))
