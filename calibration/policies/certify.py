"""The policy that keeps a promise: chosen on one half of the images, certified on the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from ...detectors.certificate import Certificate
from .candidates import NOTHING, Candidate
from .certification import Certified, NoPolicy
from .outcome import Outcome
from .promise import Promise
from .race import Limits, Race
from .tried import Tried, line_up

FEWEST: Final = 20
"""Images that there must be."""


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
    race = Race(tried, order[: images // 2], order[images // 2 :], limits or Limits())
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
