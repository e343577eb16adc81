"""A gate that flags at random: what a policy comes to when the detector knows nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from ...detectors.mentions import MentionEvidence, Timing
from ...detectors.verdict import Calibration, Judgement, Kind, Scope
from .outcome import Outcome


class ChanceCalibration:
    """In place of a calibration: its scores are drawn, the same for the same place and object.

    Args:
        calibration: whose place it takes; what it may flag is the same.
        chance: how likely a mention is to be flagged, 0..1.
        seed: of the draw.

    Attributes:
        image: name of the image that is written about; part of the draw.
    """

    kind: Kind = "provisional"
    guarantee = None
    conditions = None
    limits: tuple[str, ...] = ()
    watched: tuple[int, ...] = ()
    layers = None
    lens = False

    def __init__(self, calibration: Calibration, chance: float, *, seed: int = 0) -> None:
        if not 0 <= chance <= 1:
            raise ValueError(f"chance must be between 0 and 1, was: {chance}.")
        self.name = f"chance in place of {calibration.name}"
        self.detector = "chance"
        self.timing: Timing = calibration.timing
        self.scope: Scope = calibration.scope
        self.threshold: float | None = 1 - chance
        self.chance = chance
        self.seed = seed
        self.image = ""

    def judge(self, mentions: Sequence[MentionEvidence]) -> list[Judgement]:
        """Draws, uniform in 0..1; those in the highest ``chance`` are flagged."""
        return [self._judged(mention) for mention in mentions]

    def _judged(self, mention: MentionEvidence) -> Judgement:
        place = f"{self.seed}\0{self.image}\0{mention.word}\0{mention.index}\0{mention.object}"
        drawn = int.from_bytes(hashlib.blake2b(place.encode(), digest_size=8).digest()) / 2**64
        return Judgement(drawn, self.threshold, flagged=drawn >= 1 - self.chance)


def chance_of(outcomes: Iterable[Outcome]) -> float:
    """How often a way acted: spans it acted on, by object mentions it saw; 0 where it saw none."""
    acted = seen = 0
    for outcome in outcomes:
        acted += sum(outcome.actions.values())
        seen += len(outcome.mentions) + outcome.flagged
    return min(1.0, acted / seen) if seen else 0.0
