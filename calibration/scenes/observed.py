"""Captions of scenes held against the truth: every object they name, real or made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...monitor.events import Word
from ...monitor.language.lexicon import Lexicon
from ...monitor.language.nouns import NounSpotter
from ...monitor.language.words import WordSplitter
from ..objects.chair import Chair, Labelled, chair
from ..statistics import Estimate, ratio
from .catalogue import SCENES
from .render import Picture
from .telling import Telling

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ObjectMention:
    """One object named in one caption, held against the truth.

    Attributes:
        picture: which picture of the evaluation, from 0.
        index: how many mentions came before it in the caption.
        object: canonical name.
        first: whether the caption named the object for the first time.
        hallucinated: whether it is not there.
        token: its first sub-token.
    """

    picture: int
    index: int
    object: str
    first: bool
    hallucinated: bool
    token: int


def mentions_of(
    telling: Telling, truth: frozenset[str], picture: int, lexicon: Lexicon
) -> list[ObjectMention]:
    """The object mentions of one telling, in order."""
    splitter, spotter = WordSplitter(), NounSpotter(lexicon)
    words: list[Word] = []
    for index, (start, end) in enumerate(telling.spans):
        words += splitter.push(index, telling.text[start:end])
    words += splitter.finish()
    found = [m for word in words for m in spotter.push(word) if not m.provisional]
    found += spotter.finish()
    told: list[ObjectMention] = []
    named: set[str] = set()
    for mention in found:
        if mention.object is None:
            continue
        told.append(
            ObjectMention(
                picture,
                len(told),
                mention.object,
                mention.object not in named,
                mention.object not in truth,
                mention.first_token,
            )
        )
        named.add(mention.object)
    return told


def truth_of(picture: Picture) -> frozenset[str]:
    """The objects annotated in a picture."""
    return frozenset(seen.object.type for seen in picture.annotated)


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Captions of some pictures, their mentions, and what each mention looked like inside."""

    pictures: Sequence[Picture]
    tellings: Sequence[Telling]
    mentions: tuple[tuple[ObjectMention, ...], ...]

    @classmethod
    def of(
        cls, pictures: Sequence[Picture], tellings: Sequence[Telling], lexicon: Lexicon
    ) -> Observed:
        """Find and label the mentions of some tellings."""
        return cls(
            pictures,
            tellings,
            tuple(
                tuple(mentions_of(t, truth_of(p), i, lexicon))
                for i, (p, t) in enumerate(zip(pictures, tellings, strict=True))
            ),
        )

    @property
    def labelled(self) -> list[Labelled]:
        """The captions as CHAIR wants them."""
        return [
            Labelled(
                tuple(m.object for m in mentions),
                truth_of(picture),
                tuple(telling.text.lower().replace(".", "").replace(",", "").split()),
                telling.ended,
            )
            for picture, telling, mentions in zip(
                self.pictures, self.tellings, self.mentions, strict=True
            )
        ]

    @property
    def first_mentions(self) -> list[ObjectMention]:
        """The first mention of each object of each caption."""
        return [m for mentions in self.mentions for m in mentions if m.first]

    def chair(self) -> Chair:
        """CHAIR and its company."""
        return chair(self.labelled)

    def typical_share(self) -> Estimate:
        """Share of hallucinated mentions that are typical of the scene they were put in."""
        wrong, typical = np.zeros(len(self.pictures)), np.zeros(len(self.pictures))
        for mentions in self.mentions:
            for m in mentions:
                if m.hallucinated:
                    kind = SCENES[self.pictures[m.picture].scene.kind]
                    wrong[m.picture] += 1
                    typical[m.picture] += m.object in kind.typical
        return ratio(typical, wrong)

    def gather(
        self, mentions: Sequence[ObjectMention], read: Callable[[Telling, int], object]
    ) -> Floats:
        """One measurement of each mention, stacked."""
        return np.stack(
            [np.asarray(read(self.tellings[m.picture], m.token), np.float32) for m in mentions]
        )
