"""What a policy promises of the captions it leaves behind: measured after the action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .guarantee import percent

Left = Literal["captions", "mentions"]
"""What is promised to be at most a level, after the policy has acted, the image as the unit.

``captions``: the share of captions that name any object that is not there (CHAIR_S).
``mentions``: of all objects that captions name, the share that is not there (CHAIR_I).
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A policy, and a finite-sample promise about what it leaves, on images like those it rests on.

    It covers the captions as readers get them: detector, threshold and action together.

    Attributes:
        policy: all parameters of the policy, its threshold included, as JSON values.
        left: what is promised.
        level: at most this share, 0..1.
        confidence: chance, over the drawing of the calibration images, that the promise holds.
        images: how many images it rests on.
        measured: the share on those images.
        without: the share on them where nothing is done.
        recall: share of the images' objects that the captions name, on those images.
        recall_without: the same where nothing is done.
        most: for ``mentions``, how many objects of a caption count, its first ones.

    Raises:
        ValueError: a share is outside 0..1, it rests on no image, or mentions are not limited.
    """

    policy: Mapping[str, Any]
    left: Left
    level: float
    confidence: float
    images: int
    measured: float
    without: float
    recall: float
    recall_without: float
    most: int | None = None

    def __post_init__(self) -> None:
        for name in ("level", "confidence", "measured", "without", "recall", "recall_without"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"A certificate's {name} must be 0 to 1, was: {value}.")
        if self.images < 1:
            raise ValueError(f"A certificate must rest on images, their number was: {self.images}.")
        limited = self.most is not None and self.most >= 1
        if limited != (self.left == "mentions") or (self.most is not None and not limited):
            raise ValueError(
                f"A certificate on mentions, and no other, must say how many of a caption count, "
                f"one on {self.left} said: {self.most}."
            )

    def __str__(self) -> str:
        said = {
            "captions": f"at most {percent(self.level)} of the captions name an object that is "
            f"not there",
            "mentions": f"at most {percent(self.level)} of the objects named are not there, the "
            f"first {self.most} of each caption counted",
        }[self.left]
        return (
            f"With {percent(self.confidence)} confidence, on images like the {self.images:,} it "
            f"was calibrated on: after the policy has acted, {said} ({self.measured:.1%} on those "
            f"images, {self.without:.1%} without it)."
        )
