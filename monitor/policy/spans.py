"""Where a caption's sentences begin, and how far back a span that holds a mention may begin."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from ..events import Mention, Word
from .policy import BackTo

_ENDS: Final = frozenset(".!?…")
_CLOSES: Final = frozenset("\"'”’)]}»")
SENTENCE_ENDS: Final = _ENDS | _CLOSES
"""Characters that a sentence may end with."""
_CLAUSES: Final = frozenset(
    {",", ";", ":", "-", "–", "—", "and", "but", "or", "while", "with", "which", "that", "who"}
    | {"where", "as", "because", "though", "although", "whose", "when"}
)
_OPENS_PHRASE: Final = frozenset(
    {"a", "an", "the", "some", "several", "many", "two", "three", "four", "five", "few", "another"}
    | {"this", "that", "these", "those", "its", "his", "her", "their", "no", "one", "both", "each"}
)
HOLDS: Final = _OPENS_PHRASE | {",", ";", ":", "and", "or", "with"}
"""Words that wait for the noun they lead to, lower case."""
WIDEST: Final = 5
"""Words from a phrase's determiner to its noun, at most."""


class Sentences:
    """The first tokens of a caption's sentences, as its words come.

    A sentence ends where noun spotting ends it: at a full stop and its like, with the quotes and
    brackets that close there, and at a paragraph's end.
    """

    def __init__(self) -> None:
        self._starts = [0]
        self._last: Word | None = None
        self._over = False

    def word(self, word: Word) -> None:
        """The next word, in order; words that were cut off come again, or others in their place."""
        last, self._last = self._last, word
        if last is not None and self._over and word.text in _CLOSES and word.start == last.end:
            if self._starts[-1] == last.last_token + 1 and len(self._starts) > 1:
                self._starts.pop()
            self._begin(word.last_token + 1)
            return
        if last is not None and word.start - last.end > 1:
            self._begin(word.first_token)
        self._over = word.text[0] in _ENDS
        if self._over:
            self._begin(word.last_token + 1)

    def upto(self, tokens: int) -> Sentences:
        """The same for a caption of which only the first ``tokens`` tokens are left."""
        cut = Sentences()
        cut._starts = [start for start in self._starts if start <= tokens]
        return cut

    @property
    def latest(self) -> int:
        """Where the latest sentence begins, also if it has no token yet."""
        return self._starts[-1]

    def start(self, token: int) -> int:
        """The first token of the sentence that holds ``token``."""
        return self._starts[bisect_right(self._starts, token) - 1]

    def end(self, token: int) -> int | None:
        """The first token after the sentence that holds ``token``; ``None`` while it is open."""
        after = bisect_right(self._starts, token)
        return self._starts[after] if after < len(self._starts) else None

    def _begin(self, token: int) -> None:
        if token > self._starts[-1]:
            self._starts.append(token)


def span_start(words: Sequence[Word], mention: Mention, back_to: BackTo, *, sentence: int) -> int:
    """The token where writing again begins.

    Args:
        words: the caption's words, at least those up to the mention.
        mention: what is not to be written as it is.
        back_to: how far back.
        sentence: the first token of the mention's sentence, or of what is not settled of it: the
            furthest there is.
    """
    if back_to == "sentence":
        return sentence
    before = [w for w in words if sentence <= w.first_token < mention.first_token]
    if back_to == "clause":
        # Back to the word that opens the clause, so that another one may open it.
        opening = [w.first_token for w in before if w.text.lower() in _CLAUSES]
        return opening[-1] if opening else sentence
    if back_to == "phrase":
        near = [w.first_token for w in before[-WIDEST:] if w.text.lower() in _OPENS_PHRASE]
        return near[-1] if near else mention.first_token
    return mention.first_token
