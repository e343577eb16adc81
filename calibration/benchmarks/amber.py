"""AMBER: what descriptions make up, and what yes/no answers come to, as its script counts.

The script's rules (inference.py of arXiv 2311.07397), which matter to the last digit:

- Of a description only nouns in relation.json count; the others are not there at all.
- A noun that names something there, or goes with it, covers the *first* such thing: "ground" goes
  with grass, and covers the grass even if there is a ground in the list; of two ships one can be
  covered. Safe words count as nouns and do nothing else.
- A noun of something expected that is not there counts for Cog at once; then it is compared with
  the words there, and if one means about the same, it is no hallucination after all.
- Every counter that is divided by begins at 0.001: one faultless description has Hal 0.1.
- Precision, recall and F1 take "no" for the positive class: the hallucination denied. F1 is made
  from rounded precision and recall, with 0.0001 (existence: 0.001) below the line.
- Answers are "Yes" and "No" to the letter; see :func:`.saying.official_amber`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import eq
from typing import Final

import numpy as np

from ..statistics import Estimate, Ints, ratio
from .amberdata import AmberData, Fact, Kind, Picture
from .ambernouns import Nouns, Similar
from .saying import Said


@dataclass(frozen=True, slots=True)
class Response:
    """What a model said to a query.

    Attributes:
        number: the query's id.
        text: what it said.
    """

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Described:
    """What a description comes to.

    Attributes:
        nouns: those that count, in order.
        made_up: of each, whether it names nothing that is there.
        covered: of each thing there, whether it is named.
        expected: of each thing expected and not there, whether it is named.
    """

    nouns: tuple[str, ...]
    made_up: tuple[bool, ...]
    covered: tuple[bool, ...]
    expected: tuple[bool, ...]


class _Things:
    """Things of an image with the words for them: first all that go with them, then they."""

    def __init__(self, names: Sequence[str], relation: Mapping[str, Sequence[str]]) -> None:
        related = [(word, place) for place, name in enumerate(names) for word in relation[name]]
        self._words = [*related, *((name, place) for place, name in enumerate(names))]
        self.named = [False] * len(names)

    def name(self, is_it: Callable[[str], bool]) -> bool:
        """Mark the thing of the first word that fits; whether any does."""
        for word, place in self._words:
            if is_it(word):
                self.named[place] = True
                return True
        return False


def describe(
    text: str, picture: Picture, data: AmberData, nouns: Nouns, like: Similar
) -> Described:
    """Hold a description against what is in its image."""
    found = tuple(noun for noun in nouns(text) if noun in data.vocabulary)
    there, expected = _Things(picture.truth, data.relation), _Things(picture.hallu, data.relation)
    made_up = []
    for noun in found:
        made_up.append(False)
        if noun in data.safe_words or there.name(partial(eq, noun)):
            continue
        expected.name(partial(eq, noun))
        # Again, and by resemblance: this may mark another thing than the noun itself did.
        expected.name(partial(like, noun))
        made_up[-1] = not there.name(partial(like, noun))
    return Described(found, tuple(made_up), tuple(there.named), tuple(expected.named))


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in percent.

    Attributes:
        value: as the script prints it, rounded to a decimal.
        interval: the same from plain counts, with its 95% interval by image; NaN where nothing
            defines it.
    """

    value: float
    interval: Estimate


@dataclass(frozen=True, slots=True)
class Generative:
    """AMBER's figures for descriptions.

    Attributes:
        responses: how many.
        chair: share of counted nouns that name nothing that is there.
        cover: share of things there that are named.
        hal: share of descriptions with a noun that names nothing there.
        cog: share of things expected and not there that are named.
    """

    responses: int
    chair: Figure
    cover: Figure
    hal: Figure
    cog: Figure


@dataclass(frozen=True, slots=True)
class Discriminative:
    """AMBER's figures for yes/no answers; "no" is the positive class.

    Attributes:
        responses: how many.
        accuracy: share of right answers.
        precision: share of right ones among those that say no.
        recall: share of those that say no, where it is right.
        f1: their harmonic mean.
        unanswered: share of answers that say neither, 0 to 1.
    """

    responses: int
    accuracy: Figure
    precision: Figure
    recall: Figure
    f1: Figure
    unanswered: Estimate


ATTRIBUTES: Final[tuple[Kind, ...]] = ("state", "number", "action")
DIMENSIONS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "discriminative": ("existence", *ATTRIBUTES, "relation"),
    "existence": ("existence",),
    "attribute": ATTRIBUTES,
    "state": ("state",),
    "number": ("number",),
    "action": ("action",),
    "relation": ("relation",),
}
"""What figures for yes/no answers are given for, and which kinds of questions it consists of."""

_COUNTERS: Final[Mapping[Kind, str]] = {
    "existence": "ha_",
    "state": "as_",
    "number": "an_",
    "action": "aa_",
    "relation": "asso_",
}
"""What the script's counters begin with."""


def generative(
    described: Sequence[tuple[str, Described]], start: Mapping[str, float]
) -> Generative:
    """The figures over some descriptions.

    Args:
        described: each with the name of its image.
        start: what the script's counters begin with.

    Raises:
        ValueError: there is none.
    """
    if not described:
        raise ValueError("AMBER's generative figures need at least one description, got none")
    rows = [
        (
            sum(one.made_up),
            len(one.made_up),
            sum(one.covered),
            len(one.covered),
            sum(one.expected),
            len(one.expected),
            not any(one.made_up),
            1,
        )
        for _, one in described
    ]
    n = _by_image([image for image, _ in described], rows)
    clean = _share(n[6], n[7], start, "non_hallu_score", "non_hallu_num")
    return Generative(
        responses=len(described),
        chair=_share(n[0], n[1], start, "chair_score", "chair_num"),
        cover=_share(n[2], n[3], start, "safe_cover_score", "safe_cover_num"),
        # 100 less the share, rounded once.
        hal=Figure(
            round(100 - _percent(n[6], n[7], start, "non_hallu_score", "non_hallu_num"), 1),
            Estimate(
                100 - clean.interval.value, 100 - clean.interval.high, 100 - clean.interval.low
            ),
        ),
        cog=_share(n[4], n[5], start, "hallu_cover_score", "hallu_cover_num"),
    )


def discriminative(
    answered: Sequence[tuple[str, Fact, Said | None]], start: Mapping[str, float], dimension: str
) -> Discriminative:
    """The figures over some answers.

    Args:
        answered: of one dimension; each with the name of its image, and what was said.
        start: what the script's counters begin with.
        dimension: one of :data:`DIMENSIONS`.

    Raises:
        ValueError: there is none.
    """
    if not answered:
        raise ValueError(f"AMBER's figures on {dimension} need at least one answer, got none")
    rows = [
        (
            said == fact.truth,
            1,
            said == "no" and fact.truth == "no",
            said == "no",
            fact.truth == "no",
            said is None,
        )
        for _, fact, said in answered
    ]
    right, asked, denied, noes, false, silent = _by_image([image for image, *_ in answered], rows)
    names = [""] if dimension == "discriminative" else []
    names = names or [_COUNTERS[kind] for kind in DIMENSIONS[dimension]]

    def share(over: Ints, under: Ints, counter: str) -> Figure:
        above = [f"{name}qa_{counter}_score" for name in names]
        return _share(over, under, start, *above, *(f"{name}qa_{counter}_num" for name in names))

    precision, recall = share(denied, noes, "ans_no"), share(denied, false, "no")
    below = 0.001 if dimension == "existence" else 0.0001
    p, r = precision.value / 100, recall.value / 100
    harmonic = ratio(2 * denied, noes + false)
    return Discriminative(
        responses=len(answered),
        accuracy=share(right, asked, "correct"),
        precision=precision,
        recall=recall,
        f1=Figure(round(2 * p * r / (p + r + below) * 100, 1), _in_percent(harmonic)),
        unanswered=ratio(silent, asked),
    )


def amber_score(described: Generative, answered: Discriminative) -> float:
    """One number for both tasks, 0 to 100: the mean of what CHAIR leaves and F1.

    Source: the paper; the script does not print it.
    """
    return (100 - described.chair.value + answered.f1.value) / 2


def _by_image(images: Sequence[str], rows: Sequence[Sequence[int]]) -> Ints:
    """Columns of numbers summed by image, int64 ``[columns, images]``."""
    _, which = np.unique(images, return_inverse=True)
    counts = np.zeros((len(rows[0]), int(which.max()) + 1), np.int64)
    np.add.at(counts.T, which, np.array(rows, np.int64))
    return counts


def _percent(over: Ints, under: Ints, start: Mapping[str, float], *counters: str) -> float:
    """What the script divides, in percent; of the counters the first half is above the line."""
    half = len(counters) // 2
    above = over.sum() + sum(start.get(name, 0) for name in counters[:half])
    below = under.sum() + sum(start.get(name, 0.001) for name in counters[half:])
    return float(above / below * 100)


def _share(over: Ints, under: Ints, start: Mapping[str, float], *counters: str) -> Figure:
    return Figure(
        round(_percent(over, under, start, *counters), 1), _in_percent(ratio(over, under))
    )


def _in_percent(share: Estimate) -> Estimate:
    return Estimate(share.value * 100, share.low * 100, share.high * 100)
