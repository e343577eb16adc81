"""What came of a certification: the policy that keeps the promise, or why none does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ...detectors.certificate import Certificate
from ...detectors.guarantee import percent
from .candidates import Candidate
from .promise import Promise
from .tried import Tally

Aside = Literal["recall", "passes", "outdone"]
"""Why a candidate was not up for certification: it loses more recall or takes more passes than it
may, or another one that leaves no more names more."""


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
