"""Where names of one or more words stand in a sequence of words, the longest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import spacy
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc

from .words import split_words

_EXCEPTION: Final = "\N{NULL}"


class PhraseFinder:
    """Names as word sequences, matched by spaCy without regard to case, hyphenated or not.

    Args:
        names: lower-case form -> what it names, ``None`` where it only keeps shorter names off.

    Attributes:
        longest: the number of words of the longest form.
    """

    def __init__(self, names: Mapping[str, str | None]) -> None:
        self._vocab = spacy.blank("en").vocab
        # Most names are of one word: what may follow a first word tells when matching is needed.
        self._single: dict[str, tuple[int, str | None]] = {}
        self._seconds: dict[str, set[str]] = {}
        self._matcher = PhraseMatcher(self._vocab, attr="LOWER")
        prefixes: set[tuple[str, ...]] = set()
        patterns: dict[str, list[Doc]] = {}
        self.longest = 1
        for form, name in names.items():
            words = [word.text for word in split_words(form)]
            variants = [words]
            if len(words) > 1 and "-" not in words:
                variants.append([part for word in words for part in ("-", word)][1:])
            for variant in variants:
                first = variant[0].lower()
                self._seconds.setdefault(first, set()).update(map(str.lower, variant[1:2]))
                if len(variant) == 1:
                    self._single[first] = (1, name)
                patterns.setdefault(name or _EXCEPTION, []).append(Doc(self._vocab, words=variant))
                prefixes.update(tuple(variant[:end]) for end in range(1, len(variant)))
                self.longest = max(self.longest, len(variant))
        for name, docs in patterns.items():
            self._matcher.add(name, docs)
        self._prefixes = frozenset(prefixes)

    def may_grow(self, words: Sequence[str]) -> bool:
        """Whether some name begins with exactly these words and has more of them."""
        return (
            words[0].lower() in self._seconds
            and tuple(word.lower() for word in words) in self._prefixes
        )

    def at_start(self, words: Sequence[str]) -> tuple[int, str | None] | None:
        """The longest name that ``words`` begin with.

        Returns:
            its number of words and what it names (``None``: nothing); or
            ``None`` where no name begins here.
        """
        first = words[0].lower()
        seconds = self._seconds.get(first)
        if seconds is None:
            return None
        if len(words) == 1 or words[1].lower() not in seconds:
            return self._single.get(first)
        doc = Doc(self._vocab, words=list(words[: self.longest]))
        found = [(end, key) for key, start, end in self._matcher(doc) if start == 0]
        if not found:
            return None
        end, key = max(found)
        name = self._vocab.strings[key]
        return end, None if name == _EXCEPTION else name
