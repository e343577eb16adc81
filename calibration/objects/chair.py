"""Which objects captions name, which of them are there, and what that comes to (CHAIR).

CHAIR as in Rohrbach et al., "Object Hallucination in Image Captioning" (EMNLP 2018), beside the
figures that keep it honest: recall, repetition, length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..statistics import Estimate, ratio


@dataclass(frozen=True, slots=True)
class Labelled:
    """One caption held against the truth.

    Attributes:
        mentions: canonical names of the objects it names, in order, repetitions included.
        truth: canonical names of the objects in the image.
        words: its words, lower case, without punctuation.
        ended: whether it came to an end by itself, not cut at the length limit; ``None`` where
            nobody knows.
    """

    mentions: tuple[str, ...]
    truth: frozenset[str]
    words: tuple[str, ...]
    ended: bool | None = True

    @property
    def hallucinated(self) -> tuple[bool, ...]:
        """Of each mention, whether it names an object that is not there."""
        return tuple(name not in self.truth for name in self.mentions)

    @property
    def repeated_bigrams(self) -> tuple[int, int]:
        """How many pairs of neighbouring words occurred before in the caption, and of how many."""
        pairs = list(zip(self.words, self.words[1:], strict=False))
        return len(pairs) - len(set(pairs)), len(pairs)


@dataclass(frozen=True, slots=True)
class Chair:
    """CHAIR and its company over many captions, each with a 95% interval by image.

    A figure is NaN where nothing defines it: CHAIR_I of captions without mentions, recall of images
    without objects, ``ended`` where it is not known of any caption.

    Attributes:
        captions: how many.
        chair_i: share of mentions that are hallucinated.
        chair_i_unique: the same, each object of a caption counted once.
        chair_s: share of captions with a hallucinated mention.
        recall: share of the images' objects that their captions name.
        precision: share of the objects named that are there, each object of a caption counted
            once: what ``chair_i_unique`` leaves.
        f1: harmonic mean of recall and precision.
        rep_2: share of bigrams that repeat an earlier one of the same caption.
        dist_1: share of words that their caption has not used before.
        length: words a caption.
        mentions: object mentions a caption.
        ended: share of captions that came to an end by themselves, of those where it is known.
    """

    captions: int
    chair_i: Estimate
    chair_i_unique: Estimate
    chair_s: Estimate
    recall: Estimate
    precision: Estimate
    f1: Estimate
    rep_2: Estimate
    dist_1: Estimate
    length: Estimate
    mentions: Estimate
    ended: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What each caption contributes to :class:`Chair`, one number an image in every array."""

    mentions: np.ndarray
    wrong: np.ndarray
    unique: np.ndarray
    unique_wrong: np.ndarray
    objects: np.ndarray
    found: np.ndarray

    @classmethod
    def of(cls, captions: Iterable[Labelled]) -> Counts:
        """Count the mentions of some captions."""
        rows = [
            (
                len(c.mentions),
                sum(c.hallucinated),
                len(set(c.mentions)),
                len(set(c.mentions) - c.truth),
                len(c.truth),
                len(set(c.mentions) & c.truth),
            )
            for c in captions
        ]
        return cls(*np.array(rows, dtype=float).reshape(-1, 6).T)


def chair(captions: Sequence[Labelled]) -> Chair:
    """CHAIR over some captions.

    Raises:
        ValueError: if there is none.
    """
    if not captions:
        raise ValueError("CHAIR needs at least one caption, got none")
    n, one = Counts.of(captions), np.ones(len(captions))
    again, pairs = zip(*(c.repeated_bigrams for c in captions), strict=True)
    length = [len(c.words) for c in captions]
    return Chair(
        captions=len(captions),
        chair_i=ratio(n.wrong, n.mentions),
        chair_i_unique=ratio(n.unique_wrong, n.unique),
        chair_s=ratio(n.wrong > 0, one),
        recall=ratio(n.found, n.objects),
        precision=ratio(n.found, n.unique),
        # The harmonic mean of found / unique and found / objects, summed over captions.
        f1=ratio(2 * n.found, n.unique + n.objects),
        rep_2=ratio(again, pairs),
        dist_1=ratio([len(set(c.words)) for c in captions], length),
        length=ratio(length, one),
        mentions=ratio(n.mentions, one),
        ended=ratio([c.ended is True for c in captions], [c.ended is not None for c in captions]),
    )
