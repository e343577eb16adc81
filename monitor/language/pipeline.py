"""A user's spaCy pipeline as a tagger, in place of the packaged ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from spacy.language import Language
from spacy.tokens import Doc

_PENN: Final = {"NN": "NOUN", "NNS": "NOUN", "NNP": "PROPN", "NNPS": "PROPN"}


class SpacyTagger:
    """A user's spaCy pipeline as a tagger, run on the sentence so far with our own words.

    A pipeline costs milliseconds a word where the packaged taggers cost microseconds. It is run
    once for each new word: that gives the new word its provisional tag and the one before it the
    confirmed one.

    Args:
        pipeline: any pipeline that sets ``token.pos_``, or English ``token.tag_``.

    Raises:
        ValueError: the pipeline sets neither.
    """

    def __init__(self, pipeline: Language) -> None:
        self._pipeline = pipeline
        self._last: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        if not all(self._tags(["A", "dog", "sits", "there", "."])):
            raise ValueError(
                "a spaCy pipeline must set token.pos_ (or English token.tag_) for every word, but "
                f"this one, with the components {pipeline.pipe_names}, does not; pass one with a "
                "tagger or morphologizer"
            )

    def _tags(self, words: Iterable[str]) -> tuple[str, ...]:
        words = tuple(words)
        known, tags = self._last
        if words != known:
            doc = self._pipeline(Doc(self._pipeline.vocab, words=list(words)))
            tags = tuple(token.pos_ or _PENN.get(token.tag_, token.tag_) for token in doc)
            self._last = (words, tags)
        return tags

    def provisional(self, words: Sequence[str], tags: Sequence[str]) -> str:
        """See :class:`~sightline.monitor.language.tagger.Tagger`."""
        return self._tags(words)[-1]

    def confirmed(self, words: Sequence[str], tags: Sequence[str], following: str | None) -> str:
        """See :class:`~sightline.monitor.language.tagger.Tagger`."""
        if following is None:
            return self._tags(words)[-1]
        return self._tags([*words, following])[-2]
