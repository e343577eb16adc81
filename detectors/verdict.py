"""What a calibration must offer so that the monitor can judge mentions with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .evidence import Evidence
from .svar import LayerRange


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a detector says of one mention.

    Attributes:
        score: high means hallucinated; ``None`` where the evidence could not be scored.
        threshold: the score from which a mention is flagged.
        flagged: whether ``score`` reaches ``threshold``; False where there is no score.
    """

    score: float | None
    threshold: float
    flagged: bool


class Calibration(Protocol):
    """A detector with a threshold. Structural: nothing has to inherit from this class."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def threshold(self) -> float:
        """The score from which a mention is flagged."""
        ...

    @property
    def layers(self) -> LayerRange | None:
        """The decoder layers that it needs to see; ``None`` if any will do."""
        ...

    def judge(self, evidence: Sequence[Evidence]) -> Sequence[Judgement]:
        """Judge mentions by the evidence of their first sub-tokens, one judgement for each."""
        ...
