"""What detectors learn of a mention, gathered while its caption is written.

The one place where events become :class:`~sightline.detectors.mentions.MentionEvidence`: a
detector judges online what it was fitted on offline, because both come from here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass

from ...detectors.evidence import Evidence
from ...detectors.mentions import MentionEvidence
from ..events import Mention, Word


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a mention stands, fixed at the moment it is confirmed."""

    index: int
    word: int
    repeats: int


class MentionObserver:
    """Follows one caption: every token's evidence, every word, every confirmed mention, in order.

    Example::

        observer.token(token.evidence)
        observer.word(word)
        observer.mention(mention)                     # confirmed, not provisional
        if observer.named(mention):
            detector.decision_function(Mentions.of([observer.evidence(mention)]))
    """

    def __init__(self) -> None:
        self._evidence: list[Evidence | None] = []
        self._starts: list[int] = []
        self._seen: Counter[tuple[bool, str]] = Counter()
        self._objects = 0
        self._places: dict[int, _Place] = {}

    def token(self, evidence: Evidence | None) -> None:
        """The next token of the caption, an end token included."""
        self._evidence.append(evidence)

    def word(self, word: Word) -> None:
        """The next word of the caption; signs are words, as in the events."""
        self._starts.append(word.start)

    def mention(self, mention: Mention) -> None:
        """The next confirmed mention, after the words it is made of.

        Raises:
            ValueError: it is provisional: its place in the caption is not known yet.
        """
        if mention.provisional:
            raise ValueError(
                f"Only confirmed mentions have a place in the caption, {mention.word!r} is "
                f"provisional. Wait for the mention of the same start that is not."
            )
        # A lemma and an object may be the same string and are still two things.
        known = mention.object is not None
        name = (known, mention.object if mention.object is not None else mention.lemma)
        self._places[mention.index] = _Place(
            index=self._objects,
            word=bisect_left(self._starts, mention.start),
            repeats=self._seen[name],
        )
        self._seen[name] += 1
        self._objects += known

    def named(self, mention: Mention) -> bool:
        """Whether the token after the mention's first sub-token, its naming row, is there yet."""
        return mention.first_token + 1 < len(self._evidence)

    def evidence(self, mention: Mention) -> MentionEvidence | None:
        """What is known by now of a mention that was given to :meth:`mention`.

        Returns:
            ``None`` where its first token came without evidence. ``naming`` is ``None`` before
            :meth:`named` is true; where the caption ended first, it never will be.

        Raises:
            KeyError: the mention was never given.
        """
        place = self._places[mention.index]
        predicting = self._evidence[mention.first_token]
        if predicting is None:
            return None
        return MentionEvidence(
            object=mention.object,
            index=place.index,
            word=place.word,
            repeats=place.repeats,
            predicting=predicting,
            naming=self._evidence[mention.first_token + 1] if self.named(mention) else None,
        )
