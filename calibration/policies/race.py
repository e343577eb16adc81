"""All candidates on two halves of the images: one puts them in an order, the other tests them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..fitting.guarantee import images_needed
from .certification import Aside, NoPolicy, Row
from .promise import Promise
from .proof import growth, p_value
from .tried import Ints, Tried


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


class Race:
    """The candidates, on their way to a certificate.

    Args:
        tried: what each candidate did, image by image; the first is to do nothing.
        choosing: which images put the candidates in their order.
        proving: which test them.
        limits: what a candidate may cost.

    Attributes:
        chosen: what each did on the choosing images.
        proven: what each did on the others.
    """

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
