"""What the user wants promised of the captions that a policy leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
import numpy.typing as npt

from ...detectors.certificate import Left
from .outcome import Outcome

Floats = npt.NDArray[np.float64]

MOST: Final = 16
"""Objects of a caption that count for ``mentions``: all of them in 99 of 100 captions that
LLaVA-1.5 writes of COCO's images."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise to ask for.

    Attributes:
        left: what is to be at most a level, see :data:`~sightline.detectors.certificate.Left`.
        level: the share, between 0 and 1, both excluded.
        confidence: chance, over the drawing of the calibration images, that the promise holds;
            between 0 and 1, both excluded.
        most: for ``mentions``, how many objects of a caption count, its first ones. No share of
            all mentions can be promised without a limit: a single caption in a thousand that names
            a thousand things could break it unseen. It must be set before outcomes are looked at;
            the lower it is, the fewer images do.

    Raises:
        ValueError: a share outside these limits, no mention that counts, or an unknown promise.
    """

    left: Left
    level: float
    confidence: float = 0.9
    most: int = MOST

    def __post_init__(self) -> None:
        if self.left not in get_args(Left):
            raise ValueError(
                f"What is left must be one of {', '.join(get_args(Left))}, was: {self.left!r}."
            )
        for name in ("level", "confidence"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(
                    f"The {name} of a promise must lie between 0 and 1, both excluded, was: "
                    f"{value}. Nothing can be promised of every image to come, nor for certain."
                )
        if self.most < 1:
            raise ValueError(f"At least 1 mention of a caption must count, was: {self.most}.")

    def __str__(self) -> str:
        return f"{self.left}={self.level:g}"

    @classmethod
    def parse(cls, text: str, *, confidence: float = 0.9, most: int = MOST) -> Promise:
        """A promise as the command line writes it, such as ``captions=0.15``.

        Raises:
            ValueError: anything else.
        """
        name, _, level = text.partition("=")
        for left in get_args(Left):
            if left == name.strip():
                try:
                    share = float(level)
                except ValueError:
                    break
                return cls(left, share, confidence, most)
        raise ValueError(
            f"What may be left must be written as captions=0.15 or mentions=0.05, was: {text!r}."
        )

    def counted(self, outcomes: Sequence[Outcome]) -> tuple[Floats, Floats]:
        """Of each caption, what it has wrong and what that is a share of: float64 ``[n]``, twice.

        ``captions``: whether it names anything that is not there, of 1. ``mentions``: how many of
        its first :attr:`most` mentions are of something that is not there, and how many there are.
        """
        wrong = [np.isin(one.mentions, one.truth, invert=True) for one in outcomes]
        if self.left == "captions":
            return np.array([float(each.any()) for each in wrong]), np.ones(len(wrong))
        return (
            np.array([float(each[: self.most].sum()) for each in wrong]),
            np.array([float(len(each[: self.most])) for each in wrong]),
        )
