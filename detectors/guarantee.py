"""What a threshold promises, with which confidence, and on how many images that rests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Target = Literal["recall", "precision", "false-alarm"]
"""What is promised, the image as the unit.

``recall``: of the images whose captions hallucinate, at least this share has every hallucinated
mention flagged. ``precision``: of the images with a flag, in at least this share the most
suspicious mention is hallucinated. ``false-alarm``: of the images whose captions are true, at most
this share has any flag.
"""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A finite-sample promise about new images from where the calibration images came from.

    It is about flags on captions as the model writes them. What is done about a flag changes the
    captions, and needs a promise of its own, measured after the action.

    Attributes:
        target: what is promised.
        level: the share promised, 0..1: at least for recall and precision, at most for
            false-alarm.
        confidence: chance, over the drawing of the calibration images, that the promise holds.
        images: how many images the threshold was calibrated on: those that count for the target.
        measured: the share on those images.
    """

    target: Target
    level: float
    confidence: float
    images: int
    measured: float

    def __str__(self) -> str:
        level = percent(self.level)
        said = {
            "recall": f"at least {level} of the images whose captions hallucinate have every "
            f"hallucinated object flagged",
            "precision": f"in at least {level} of the images with a flag, the most suspicious "
            f"object is hallucinated",
            "false-alarm": f"at most {level} of the images whose captions are true have a flag",
        }[self.target]
        return (
            f"With {percent(self.confidence)} confidence, on images like the {self.images:,} it "
            f"was calibrated on: {said}. It covers flags, not what is done about them."
        )


def percent(share: float) -> str:
    """A share in percent, without digits that say nothing and with all that do."""
    return f"{100 * share:.6g}%"
