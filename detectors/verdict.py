"""What a calibration must offer so that the monitor can judge mentions with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from .conditions import Conditions
from .guarantee import Guarantee
from .mentions import MentionEvidence, Timing
from .svar import LayerRange

Kind = Literal["calibrated", "provisional"]
"""``calibrated``: fitted to labelled mentions of held-out images. ``provisional``: a threshold
that somebody chose or read off published numbers, without a probability and without a promise."""

Scope = Literal["objects", "nouns"]
"""What may be flagged: the lexicon's ``objects`` alone, or every visible noun of the ``nouns``."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a detector says of one mention.

    Attributes:
        score: high means hallucinated; ``None`` where the evidence could not be scored.
        threshold: the score from which a mention is flagged; ``None`` if there is no valid one.
        flagged: whether ``score`` reaches ``threshold``; False where either is missing.
        probability: calibrated probability that the object is hallucinated, 0..1.
        prior: the part of the verdict that the text alone gives, log-odds as the detector has them,
            before they were calibrated.
        evidence: the part that the model's inside adds to it, likewise.
    """

    score: float | None
    threshold: float | None
    flagged: bool
    probability: float | None = None
    prior: float | None = None
    evidence: float | None = None


class Calibration(Protocol):
    """A detector with a threshold. Structural: nothing has to inherit from this class."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def detector(self) -> str:
        """Name of the detector behind it, such as ``fused``."""
        ...

    @property
    def kind(self) -> Kind:
        """Fitted to labelled mentions, or merely chosen."""
        ...

    @property
    def threshold(self) -> float | None:
        """The score from which a mention is flagged; ``None``: mentions are scored, never flagged.

        That there is no valid threshold is a normal outcome of a calibration.
        """
        ...

    @property
    def guarantee(self) -> Guarantee | None:
        """What the threshold promises, if it promises anything."""
        ...

    @property
    def conditions(self) -> Conditions | None:
        """What it was calibrated under; ``None`` if it holds for no model in particular."""
        ...

    @property
    def limits(self) -> tuple[str, ...]:
        """What users must know of it wherever they meet its verdicts, one sentence each."""
        ...

    @property
    def watched(self) -> tuple[int, ...]:
        """The decoder layers that it needs to see, ascending; empty if any will do."""
        ...

    @property
    def layers(self) -> LayerRange | None:
        """What SVAR in the reports should sum over; ``None`` if any range will do."""
        ...

    @property
    def lens(self) -> bool:
        """Whether it needs the logit lens: internal confidence and contributions."""
        ...

    @property
    def timing(self) -> Timing:
        """``naming`` if it needs the row after the mention's first sub-token."""
        ...

    @property
    def scope(self) -> Scope:
        """Which mentions it may flag; it may score others."""
        ...

    def judge(self, mentions: Sequence[MentionEvidence]) -> Sequence[Judgement]:
        """Judge mentions, one judgement for each, in order."""
        ...
