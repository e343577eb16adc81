"""The policy that keeps a promise: chosen on one half of the images, certified on the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from ...detectors.certificate import Certificate
from ...detectors.guarantee import percent
from ..fitting.guarantee import images_needed
from .candidates import NOTHING, Candidate
from .outcome import Outcome
from .promise import Promise
from .proof import growth, p_value
from .tried import Ints, Tally, Tried, line_up

FEWEST: Final = 20
"""Images that there must be."""

Aside = Literal["recall", "passes", "outdone"]
"""Why a candidate was not up for certification: it loses more recall or takes more passes than it
may, or another one that leaves no more names more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a candidate may cost, measured on the choosing images and not certified.

    Attributes:
        recall_loss: most recall it may lose against doing nothing, 0..1.
        passes: most forward passes it may take, as a multiple of doing nothing; ``None`` for any.

    Raises:
        ValueError: outside these ranges.
    """

    recall_loss: float = 0.02
    passes: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.recall_loss <= 1:
            raise ValueError(
                f"The recall that may be lost must lie between 0 and 1, was: {self.recall_loss}."
            )
        if self.passes is not None and not self.passes >= 1:
            raise ValueError(
                f"The passes allowed must be at least 1, those of doing nothing, were: "
                f"{self.passes}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How one candidate fared.

    Attributes:
        candidate: which.
        chosen: its figures on the choosing images.
        proven: its figures on the certifying images.
        aside: why it was not up for certification; ``None`` if it was.
        p_value: of breaking the promise; ``None`` if it was not tested, because it was put aside or
            the search had ended before it.
        certified: whether the promise is certified for it.
    """

    candidate: Candidate
    chosen: Tally
    proven: Tally
    aside: Aside | None
    p_value: float | None = None
    certified: bool = False


@dataclass(frozen=True, slots=True)
class Certified:
    """A policy that keeps the promise.

    Attributes:
        candidate: the policy.
        certificate: what is promised of it.
        rows: all candidates: those tested in the order of the tests, then those put aside.
    """

    candidate: Candidate
    certificate: Certificate
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class NoPolicy:
    """No policy keeps the promise: a result, not a failure.

    Attributes:
        promise: what was asked for.
        images: how many images could certify it, half of all.
        best: the share measured on them with the most careful policy that costs no more than it
            may; to do nothing is always one of those.
        reachable: the lowest level, to a percent, that these images do support with the same
            confidence; ``None`` if they support none.
        needed: about how many images it would take, in all, if ``best`` is what more of them show
            as well; ``None`` if no number of images would do.
        rows: all candidates, as in :class:`Certified`.
    """

    promise: Promise
    images: int
    best: float
    reachable: float | None
    needed: int | None
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        promise = self.promise
        said = [f"No policy keeps {promise} with {percent(promise.confidence)} confidence."]
        said.append(
            f"The most careful one that costs no more than it may leaves {self.best:.1%} on the "
            f"{self.images:,} images that could certify it,"
        )
        if self.needed is None:
            said.append(
                "and more images are not likely to change that. Ask for less, allow more loss of "
                "recall, or try more careful policies."
            )
        else:
            said.append(
                f"but they are too few to be sure. About {self.needed:,} would do, half of which "
                f"choose and half certify."
            )
        if self.reachable is not None:
            said.append(f"What these images support is {promise.left}={self.reachable:g}.")
        return " ".join(said)


def certify(
    outcomes: Iterable[Outcome],
    candidates: Sequence[Candidate],
    promise: Promise,
    *,
    limits: Limits | None = None,
    seed: int = 0,
) -> Certified | NoPolicy:
    """Choose a policy and certify what it leaves.

    The images are split in two, by the seed. On the one half candidates are put aside that lose
    too much recall or cost too much, and those that another one outdoes in what it leaves and what
    it names; the others are put in an order, what they leave first. On the other half each is a
    hypothesis, "this policy breaks the promise", tested in that order, from the most careful on,
    each at the full error rate; the first that stands ends the search. As the order comes from
    other images, the chance that any policy is certified wrongly is at most ``1 - confidence``,
    whatever their number, and of those certified any may be taken: it is the one with the highest
    recall, over all images.

    Args:
        outcomes: those of every candidate, and of :data:`.NOTHING`, on the same images: drawn
            independently, and seen by no part of the detector's fitting.
        candidates: the policies, fixed before any outcome was looked at.
        promise: what to certify.
        limits: what a candidate may cost.
        seed: of the split.

    Raises:
        ValueError: there are too few images, not the same ones for every candidate, or nothing is
            in them.
        ImportError: MAPIE is not installed; the message says how to.

    Source: Angelopoulos et al., "Learn then Test", arXiv 2110.01052, section 2.3 (fixed sequence);
    Laufer-Goldshtein et al., "Pareto Testing", arXiv 2210.07913 (the order from a split).
    """
    return choose(
        line_up(outcomes, (NOTHING, *candidates), promise), promise, limits=limits, seed=seed
    )


def choose(
    tried: Sequence[Tried], promise: Promise, *, limits: Limits | None = None, seed: int = 0
) -> Certified | NoPolicy:
    """:func:`certify` with what is counted already; the first of ``tried`` is to do nothing.

    Raises:
        ValueError: there are too few images.
        ImportError: MAPIE is not installed; the message says how to.
    """
    images = len(tried[0].wrong)
    if images < FEWEST:
        raise ValueError(
            f"A certificate needs at least {FEWEST} images, was given {images}. Some hundreds are "
            f"a beginning."
        )
    if not tried[0].objects.any():
        raise ValueError(
            "The images must hold objects, by their annotations none does: recall means nothing."
        )
    order = np.random.default_rng(seed).permutation(images)
    race = _Race(tried, order[: images // 2], order[images // 2 :], limits or Limits())
    rows = race.run(promise)
    certified = [row for row in rows if row.certified]
    if not certified:
        return race.explain(promise, rows)
    whole = {one.candidate: one.tally for one in tried}
    best = max(certified, key=lambda row: (whole[row.candidate].recall, -whole[row.candidate].left))
    without = race.proven[0].tally
    certificate = Certificate(
        policy=best.candidate.policy.to_json(),
        left=promise.left,
        level=promise.level,
        confidence=promise.confidence,
        images=best.proven.images,
        measured=best.proven.left,
        without=without.left,
        recall=best.proven.recall,
        recall_without=without.recall,
        most=promise.most if promise.left == "mentions" else None,
    )
    return Certified(best.candidate, certificate, rows)


class _Race:
    """All candidates on the two halves of the images."""

    def __init__(
        self, tried: Sequence[Tried], choosing: Ints, proving: Ints, limits: Limits
    ) -> None:
        self.chosen = [one.take(choosing) for one in tried]
        self.proven = [one.take(proving) for one in tried]
        self._tallies = [
            (one.tally, other.tally) for one, other in zip(self.chosen, self.proven, strict=True)
        ]
        self._aside = self._put_aside(limits)
        self._order = self._from_careful()

    def run(self, promise: Promise) -> tuple[Row, ...]:
        """Test them in order until one fails."""
        rows: list[Row] = []
        open_ = True
        for index in self._order:
            row = self._row(index, None)
            if open_:
                p = self._p_value(index, promise)
                open_ = p <= 1 - promise.confidence
                row = replace(row, p_value=p, certified=open_)
            rows.append(row)
        aside = sorted(self._aside, key=self._careful)
        return (*rows, *(self._row(index, self._aside[index]) for index in aside))

    def explain(self, promise: Promise, rows: tuple[Row, ...]) -> NoPolicy:
        """Why none was certified, and what would be."""
        images = len(self.proven[0].wrong)
        first = self._order[0]
        reachable = None
        for level in range(math.floor(100 * promise.level + 1e-9) + 1, 100):
            easier = replace(promise, level=level / 100)
            if self._p_value(first, easier) <= 1 - promise.confidence:
                reachable = level / 100
                break
        return NoPolicy(
            promise,
            images=images,
            best=self.proven[first].tally.left,
            reachable=reachable,
            needed=self._needed(first, promise),
            rows=rows,
        )

    def _put_aside(self, limits: Limits) -> dict[int, Aside]:
        nothing = self._tallies[0][0]
        aside: dict[int, Aside] = {}
        for index, (chosen, _) in enumerate(self._tallies):
            if nothing.recall - chosen.recall > limits.recall_loss + 1e-12:
                aside[index] = "recall"
            elif limits.passes is not None and chosen.passes > limits.passes * nothing.passes:
                aside[index] = "passes"
        return aside

    def _careful(self, index: int) -> tuple[float, ...]:
        one = self._tallies[index][0]
        return (math.inf if math.isnan(one.left) else one.left, -one.recall, -one.f1, one.passes)

    def _from_careful(self) -> list[int]:
        order: list[int] = []
        for index in sorted(set(range(len(self._tallies))) - set(self._aside), key=self._careful):
            recall = self._tallies[index][0].recall
            if order and recall <= self._tallies[order[-1]][0].recall:
                self._aside[index] = "outdone"
            else:
                order.append(index)
        return order

    def _p_value(self, index: int, promise: Promise) -> float:
        one, other = self.proven[index], self.chosen[index]
        return p_value(promise, one.wrong, one.of, elsewhere=(other.wrong, other.of))

    def _row(self, index: int, why: Aside | None) -> Row:
        chosen, proven = self._tallies[index]
        return Row(candidate=self.proven[index].candidate, chosen=chosen, proven=proven, aside=why)

    def _needed(self, index: int, promise: Promise) -> int | None:
        """About how many images in all, as this candidate does on the certifying ones."""
        one = self.proven[index]
        error, images = 1 - promise.confidence, len(one.wrong)
        if promise.left == "captions":
            half = images_needed(one.tally.left, promise.level, error, at_least=images + 1)
            return None if half is None else 2 * half
        highest = 1 / ((1 - promise.level) * promise.most)
        rate = max(
            float(growth(promise, one.wrong, one.of, share * highest).mean())
            for share in np.linspace(0.01, 0.99, 99)
        )
        if rate <= 0:
            return None
        return 2 * max(images + 1, math.ceil(-math.log(error) / rate))


def figures(row: Row) -> dict[str, Any]:
    """A row as JSON values; what is not defined is null."""

    def plain(tally: Tally) -> dict[str, float | None]:
        values = {
            "left": tally.left,
            "recall": tally.recall,
            "f1": tally.f1,
            "passes": tally.passes,
        }
        return {name: None if math.isnan(value) else value for name, value in values.items()}

    return {
        "name": row.candidate.name,
        "policy": row.candidate.policy.to_json(),
        "choosing": plain(row.chosen),
        "certifying": plain(row.proven),
        "aside": row.aside,
        "p_value": row.p_value,
        "certified": row.certified,
    }
