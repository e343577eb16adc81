"""What a policy made of every calibration image, one number an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ..objects.chair import Counts
from ..ranking import divide
from .candidates import Candidate
from .outcome import Outcome
from .promise import Floats, Promise

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """A policy's figures on some images.

    Attributes:
        images: how many.
        left: share of what the promise is about.
        recall: share of the images' objects that the captions name.
        f1: harmonic mean of recall and precision, each object of a caption counted once.
        passes: forward passes a caption.
    """

    images: int
    left: float
    recall: float
    f1: float
    passes: float


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A candidate and its outcomes, every array float64 ``[images]``, in the order of images.

    Attributes:
        candidate: the policy.
        wrong: see :meth:`.Promise.counted`.
        of: likewise.
        found: objects of the image that the caption names.
        objects: objects of the image.
        named: objects that the caption names, each counted once.
        passes: forward passes it took.
    """

    candidate: Candidate
    wrong: Floats
    of: Floats
    found: Floats
    objects: Floats
    named: Floats
    passes: Floats

    @classmethod
    def from_outcomes(
        cls, candidate: Candidate, outcomes: Sequence[Outcome], promise: Promise
    ) -> Tried:
        """Count a candidate's outcomes, one an image."""
        wrong, of = promise.counted(outcomes)
        counts = Counts.of(one.labelled for one in outcomes)
        passes = np.array([float(one.passes) for one in outcomes])
        return cls(candidate, wrong, of, counts.found, counts.objects, counts.unique, passes)

    def take(self, images: Ints) -> Tried:
        """The same on some of the images, in the order given."""
        arrays = {
            field.name: getattr(self, field.name)[images]
            for field in fields(self)
            if field.name != "candidate"
        }
        return Tried(self.candidate, **arrays)

    @property
    def tally(self) -> Tally:
        """Its figures; NaN where nothing defines them."""
        return Tally(
            images=len(self.wrong),
            left=_ratio(self.wrong, self.of),
            recall=_ratio(self.found, self.objects),
            f1=_ratio(2 * self.found, self.named + self.objects),
            passes=float(self.passes.mean()) if len(self.passes) else float("nan"),
        )


def line_up(
    outcomes: Iterable[Outcome], candidates: Sequence[Candidate], promise: Promise
) -> tuple[Tried, ...]:
    """The candidates' outcomes on the same images, by name of the image.

    Args:
        outcomes: in any order; the way of each is its candidate's name.
        candidates: whose to count; other ways are passed over.
        promise: what is counted.

    Raises:
        ValueError: a candidate has none, two of an image, or not those of the first's images.
    """
    by_way: dict[str, list[Outcome]] = {one.name: [] for one in candidates}
    for one in outcomes:
        if one.way in by_way:
            by_way[one.way].append(one)
    found: list[Tried] = []
    expected: list[str] | None = None
    for candidate in candidates:
        own = sorted(by_way[candidate.name], key=lambda one: one.image)
        images = [one.image for one in own]
        expected = images if expected is None else expected
        if not images or images != expected or len(set(images)) < len(images):
            odd = sorted(set(images) ^ set(expected))[:3]
            raise ValueError(
                f"Every policy must have one outcome of each image, {candidate.name!r} has "
                f"{len(images):,} of {len(set(images)):,} images and {candidates[0].name!r} has "
                f"{len(expected):,}; odd ones, the first of them: {odd}. Try them on the same "
                f"images, each once."
            )
        found.append(Tried.from_outcomes(candidate, own, promise))
    return tuple(found)


def _ratio(over: Floats, under: Floats) -> float:
    return float(divide(over.sum(), under.sum()))
