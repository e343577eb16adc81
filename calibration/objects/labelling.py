"""The objects that a finished caption names, found as the monitor finds them in a growing one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...monitor.events import Mention
from ...monitor.language.lexicon import Lexicon
from ...monitor.language.nouns import find_mentions
from ...monitor.language.tagger import Tagger, TreebankTagger
from ...monitor.language.words import split_words
from .chair import Labelled

_UNKNOWN: Final = "X"


class _WhereItMatters:
    """A tagger that only looks at words whose tag decides whether they name an object.

    Those are few: the lexicon's ambiguous forms. All other tags are unknown, and with them the
    nouns that name no object of the lexicon.
    """

    def __init__(self, lexicon: Lexicon, tagger: Tagger) -> None:
        self._ambiguous = lexicon.ambiguous & lexicon.forms.keys()
        self._tagger = tagger

    def provisional(self, words: Sequence[str], tags: Sequence[str]) -> str:
        """Nobody sees what is provisional in a finished text."""
        return _UNKNOWN

    def confirmed(self, words: Sequence[str], tags: Sequence[str], following: str | None) -> str:
        """The tag of ``words[-1]`` if it is ambiguous, as if all words had been tagged."""
        if words[-1].lower() not in self._ambiguous:
            return _UNKNOWN
        known: list[str] = []
        for end, after in enumerate([*words[1:], following], start=1):
            known.append(self._tagger.confirmed(words[:end], known, after))
        return known[-1]


def find_objects(text: str, lexicon: Lexicon, tagger: Tagger | None = None) -> tuple[Mention, ...]:
    """The mentions of a finished text that name an object of the lexicon, in order.

    The same as those of :func:`~sightline.monitor.language.nouns.find_mentions` with an object,
    several times faster; only ``index`` differs, it counts the objects alone.
    """
    lazy = _WhereItMatters(lexicon, tagger or TreebankTagger.packaged())
    return tuple(m for m in find_mentions(text, lexicon, lazy) if m.object is not None)


def label(
    text: str, truth: frozenset[str], lexicon: Lexicon, *, ended: bool | None = True
) -> Labelled:
    """Hold a caption against the canonical names of what is in its image.

    A mention of something that is not there is hallucinated. An empty caption has no mentions.

    Args:
        text: the caption.
        truth: canonical names of the objects in the image.
        lexicon: which words name which object.
        ended: whether the caption came to an end by itself, if that is known.
    """
    words = tuple(word.text.lower() for word in split_words(text) if word.text[0].isalnum())
    mentions = tuple(m.object for m in find_objects(text, lexicon) if m.object is not None)
    return Labelled(mentions=mentions, truth=truth, words=words, ended=ended)
