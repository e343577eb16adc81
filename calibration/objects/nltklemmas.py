"""The official CHAIR script's own reading, where NLTK's data is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

DATA: Final = ("punkt_tab", "averaged_perceptron_tagger_eng", "wordnet")
"""The packages of NLTK's data that the script needs."""

INSTALL: Final = "python -m nltk.downloader " + " ".join(DATA)
"""The command that installs them."""

_WORDNET: Final = {"J": "a", "V": "v", "N": "n", "R": "r"}
"""The first letter of a Penn Treebank tag -> WordNet's part of speech; all others are nouns."""


class NltkDataError(RuntimeError):
    """NLTK's data is not installed or cannot be read; the message says how to install it."""


@dataclass(frozen=True)
class NltkLemmas:
    """NLTK's tokenizer, tagger and WordNet lemmatiser, as the script puts them together.

    Attributes:
        tokenize: a text -> its words and punctuation marks.
        tag: the words of a whole caption -> each with its Penn Treebank tag.
        lemmatize: a word and WordNet's part of speech -> its lemma.
    """

    tokenize: Callable[[str], Sequence[str]]
    tag: Callable[[Sequence[str]], Sequence[tuple[str, str]]]
    lemmatize: Callable[[str, str], str]

    @property
    def name(self) -> str:
        """See :class:`.lemmas.Lemmas`."""
        return "nltk"

    @classmethod
    def load(cls) -> NltkLemmas:
        """The installed ones, tried on a sentence.

        Raises:
            NltkDataError: a package of :data:`DATA` is missing or damaged.
        """
        import nltk
        from nltk.stem import WordNetLemmatizer

        # Captions repeat their words, and WordNet looks a word up in Python each time.
        found = cls(nltk.word_tokenize, nltk.pos_tag, cache(WordNetLemmatizer().lemmatize))
        try:
            found("Two dogs are seated.")
        except (LookupError, OSError, ValueError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip(" *")]
            what = lines[0] if lines else type(error).__name__
            raise NltkDataError(
                f"the official reading needs NLTK's data packages {', '.join(DATA)}, but trying "
                f"them failed ({what}); install them with: {INSTALL}"
            ) from error
        return found

    def __call__(self, caption: str) -> list[str]:
        """The lemmas of a caption, lower-cased first; it is tagged as one run of words."""
        return [
            self.lemmatize(word, _WORDNET.get(tag[:1], "n"))
            for word, tag in self.tag(self.tokenize(caption.lower()))
        ]
