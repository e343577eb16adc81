"""What the small model's captions come to: hallucination, detection, pointing, mitigation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Final

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from ...detectors.svar import LayerRange, svar
from ...monitor.events import Word
from ...monitor.language.lexicon import Lexicon
from ...monitor.language.nouns import NounSpotter
from ...monitor.language.words import WordSplitter
from ..objects.chair import Chair, Counts, Labelled, chair
from ..statistics import Estimate, auroc, auroc_within, by_image, difference, ratio, relative_change
from .architecture import PATCHES
from .catalogue import SCENES
from .render import SIDE, Picture
from .telling import Telling

Floats = npt.NDArray[np.float32]

_GRID = int(PATCHES**0.5)


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


@dataclass(frozen=True, slots=True)
class Separation:
    """How well a score tells hallucinated from real first mentions."""

    overall: Estimate
    within: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """The scores of a set of first mentions; a high score means *hallucinated*."""

    labels: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    scores: Mapping[str, npt.NDArray[np.float64]]
    var: Floats
    naming_var: Floats

    @classmethod
    def of(cls, observed: Observed) -> Detection:
        """Score the first mentions by position, log-probability and entropy."""
        mentions = observed.first_mentions
        scores = {
            "position": np.array([m.index for m in mentions], float),
            "log-probability": -observed.gather(mentions, lambda t, i: t.log_prob[i]).astype(float),
            "entropy": observed.gather(mentions, lambda t, i: t.entropy[i]).astype(float),
        }
        return cls(
            np.array([m.hallucinated for m in mentions], np.int64),
            np.array([m.picture for m in mentions], np.int64),
            np.array([m.index for m in mentions], np.int64),
            scores,
            observed.gather(mentions, lambda t, i: t.var[i]),
            observed.gather(mentions, lambda t, i: t.var[min(i + 1, len(t.var) - 1)]),
        )

    @property
    def layers(self) -> int:
        return int(self.var.shape[1])

    def svar(self, first: int, last: int, *, naming: bool = False) -> npt.NDArray[np.float64]:
        """Minus SVAR over layers ``first`` to ``last``: high means hallucinated."""
        chosen = LayerRange(first, last, "user")
        return -np.asarray(
            svar(self.naming_var if naming else self.var, tuple(range(self.layers)), chosen), float
        )

    def separation(self, score: npt.NDArray[np.float64]) -> Separation:
        """AUROC overall and within mention index, with intervals by image."""
        y, z = self.labels, self.indices
        return Separation(
            by_image(lambda w: auroc(y, score, w), self.images),
            by_image(lambda w: auroc_within(y, score, z, w), self.images),
        )

    def by_range(self) -> dict[tuple[int, int], tuple[float, float]]:
        """AUROC of SVAR, overall and within mention index, over every range of layers."""
        found = {}
        for first, last in combinations_with_replacement(range(self.layers), 2):
            score = self.svar(first, last)
            found[first, last] = (
                auroc(self.labels, score),
                auroc_within(self.labels, score, self.indices),
            )
        return found

    def best_range(self) -> tuple[int, int]:
        """The range whose SVAR separates best within mention index; for development scenes."""
        table = self.by_range()
        return max(table, key=lambda r: table[r][1])


FALSE_ALARMS: Final = 0.1
"""Share of real first mentions that the provisional threshold flags on calibration scenes."""


@dataclass(frozen=True, slots=True)
class Provisional:
    """An SVAR threshold that nobody guarantees anything about, and what it does.

    Attributes:
        minimum: mentions whose SVAR is at most this are flagged.
        flagged_real: share of real first mentions that it flags.
        flagged_hallucinated: share of hallucinated first mentions that it flags.
    """

    minimum: float
    flagged_real: Estimate
    flagged_hallucinated: Estimate


def provisional(fitted: Detection, measured: Detection, layers: tuple[int, int]) -> Provisional:
    """Choose the threshold on one set of mentions, measure it on another."""
    real = -fitted.svar(*layers)[fitted.labels == 0]
    minimum = float(np.quantile(real, FALSE_ALARMS))
    flagged = (-measured.svar(*layers) <= minimum).astype(float)

    def share(label: int) -> Estimate:
        chosen = (measured.labels == label).astype(float)
        count = int(measured.images.max()) + 1
        hits = np.bincount(measured.images, flagged * chosen, count)
        return ratio(hits, np.bincount(measured.images, chosen, count))

    return Provisional(minimum, share(0), share(1))


@dataclass(frozen=True, slots=True)
class Pointing:
    """How often the most attended image token lies in a box, and how often it would by chance."""

    hits: Estimate
    chance: Estimate
    lift: Estimate


def _cells(boxes: Sequence[tuple[int, int, int, int]]) -> npt.NDArray[np.bool_]:
    """Which patches have their centre in one of the boxes, bool ``[PATCHES]``."""
    centre = (np.arange(_GRID) + 0.5) * SIDE / _GRID
    inside = np.zeros((_GRID, _GRID), bool)
    for left, top, right, bottom in boxes:
        inside |= ((centre >= top) & (centre < bottom))[:, None] & (
            (centre >= left) & (centre < right)
        )
    return inside.ravel()


def pointing(
    observed: Observed, layers: tuple[int, int], *, hallucinated: bool, naming: bool, own: bool
) -> Pointing:
    """Pointing accuracy of the head-averaged image attention, with intervals by image.

    Args:
        observed: the captions.
        layers: first and last layer averaged over.
        hallucinated: which first mentions to look at.
        naming: the row of the object's own first token, instead of the row that predicts it.
        own: whether the box must be of the object named (there is none for a hallucinated one), or
            may be of any annotated object *not* named by the mention.
    """
    count = len(observed.pictures)
    hits, chances, total = np.zeros(count), np.zeros(count), np.zeros(count)
    for m in observed.first_mentions:
        if m.hallucinated != hallucinated:
            continue
        telling, picture = observed.tellings[m.picture], observed.pictures[m.picture]
        boxes = [s.box for s in picture.annotated if (s.object.type == m.object) == own]
        inside = _cells(boxes)
        if not inside.any():
            continue
        row = min(m.token + naming, len(telling.patches) - 1)
        attended = telling.patches[row, layers[0] : layers[1] + 1].astype(np.float32).mean(0)
        hits[m.picture] += inside[int(attended.argmax())]
        chances[m.picture] += inside.mean()
        total[m.picture] += 1
    return Pointing(
        ratio(hits, total), ratio(chances, total), difference(hits, total, chances, total)
    )


@dataclass(frozen=True, slots=True)
class Mitigation:
    """One always-on setting of Eq. 4 beside greedy decoding on the same pictures, paired."""

    alpha: float
    first: int
    last: int
    chair: Chair
    chair_i_change: Estimate
    recall_change: Estimate


def mitigation(
    alpha: float, layers: tuple[int, int], treated: Sequence[Labelled], greedy: Sequence[Labelled]
) -> Mitigation:
    """Compare captions under Eq. 4 with the greedy captions of the same pictures."""
    a, b = Counts.of(treated), Counts.of(greedy)
    return Mitigation(
        alpha,
        *layers,
        chair(treated),
        relative_change(a.wrong, a.mentions, b.wrong, b.mentions),
        difference(a.found, a.objects, b.found, b.objects),
    )


ALPHAS: Final = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Strengths of Eq. 4 that the model card reports."""


def intervention_ranges(layers: int) -> tuple[tuple[int, int], ...]:
    """Layer ranges that the model card reports Eq. 4 for: all, thirds, halves, the middle."""
    third, half = layers // 3, layers // 2
    return (
        (0, layers - 1),
        (0, third - 1),
        (third, 2 * third - 1),
        (2 * third, layers - 1),
        (0, half - 1),
        (half, layers - 1),
        (layers // 6, layers - layers // 6 - 1),
    )


def tokenizer_words(tokenizer: PreTrainedTokenizerBase, names: Sequence[str]) -> dict[str, int]:
    """Into how many tokens each name splits after a space."""
    return {name: len(tokenizer.tokenize(" " + name)) for name in names}
