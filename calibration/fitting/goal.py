"""What the user wants promised: a target, a level and how sure it has to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ...detectors.guarantee import Target


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise to ask for.

    Attributes:
        target: what is promised, see :data:`~sightline.detectors.guarantee.Target`.
        level: the share, between 0 and 1, both excluded: at least for recall and precision, at
            most for false-alarm.
        confidence: chance, over the drawing of the calibration images, that the promise holds;
            between 0 and 1, both excluded.

    Raises:
        ValueError: a share outside these limits, or an unknown target.
    """

    target: Target
    level: float
    confidence: float = 0.9

    def __post_init__(self) -> None:
        if self.target not in get_args(Target):
            raise ValueError(
                f"A target must be one of {', '.join(get_args(Target))}, was: {self.target!r}."
            )
        for name in ("level", "confidence"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(
                    f"The {name} of a promise must lie between 0 and 1, both excluded, was: "
                    f"{value}. Nothing can be promised of every image to come, nor for certain; "
                    f"0.9 is common."
                )

    def __str__(self) -> str:
        return f"{self.target}={self.level:g}"

    @property
    def at_most(self) -> bool:
        """Whether the level is an upper limit."""
        return self.target == "false-alarm"

    @property
    def risk(self) -> float:
        """The share of images that may go wrong."""
        return self.level if self.at_most else 1 - self.level

    @classmethod
    def parse(cls, text: str, *, confidence: float = 0.9) -> Goal:
        """A promise as the command line writes it, such as ``recall=0.8``.

        Raises:
            ValueError: anything else.
        """
        name, _, level = text.partition("=")
        for target in get_args(Target):
            if target == name.strip():
                try:
                    return cls(target, float(level), confidence)
                except ValueError as error:
                    if "promise" in str(error):
                        raise
        raise ValueError(
            f"A target must be written as recall=0.8, precision=0.6 or false-alarm=0.1, was: "
            f"{text!r}."
        )
