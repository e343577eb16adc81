"""The paper's detector with a threshold that somebody chose: too little SVAR is a hallucination."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from .conditions import Conditions
from .guarantee import Guarantee
from .mentions import MentionEvidence, Timing
from .svar import LayerRange, svar
from .verdict import Judgement, Kind, Scope

FILE: Final = "svar_threshold.json"
"""Name of the file that holds a threshold beside the checkpoint it belongs to."""

FORMAT: Final = "sightline-svar-threshold-1"

_CHOSEN: Final = (
    "This threshold was chosen, not calibrated: its verdicts come without a probability and "
    "without a guarantee."
)


@dataclass(frozen=True, slots=True)
class SvarThreshold:
    """Flags a mention whose SVAR is at most ``minimum``.

    The score is ``1 - SVAR / n``, ``n`` the number of layers summed: the mean share of attention
    that did *not* go to the image, between 0 and 1, so that high means hallucinated.

    Args:
        minimum: the SVAR up to which mentions are flagged, between 0 and the number of layers.
        layers: the layers SVAR sums over; the threshold holds for this range alone.
        name: what reports call it.
        scope: which mentions may be flagged: every visible noun, or the lexicon's objects alone.
        limits: what users must know of it wherever they meet its verdicts.

    Raises:
        ValueError: if no mention could ever reach ``minimum``.

    Source: Jiang et al., arXiv 2411.16724 (real and hallucinated objects differ in SVAR; the
    paper publishes no threshold).
    """

    minimum: float
    layers: LayerRange
    name: str = field(default="svar-threshold", kw_only=True)
    scope: Scope = field(default="nouns", kw_only=True)
    limits: tuple[str, ...] = field(default=(_CHOSEN,), kw_only=True)

    def __post_init__(self) -> None:
        count = len(self.layers.layers)
        if not (math.isfinite(self.minimum) and 0 <= self.minimum <= count):
            raise ValueError(
                f"minimum must be between 0 and {count}, the number of layers summed, was: "
                f"{self.minimum}."
            )

    @property
    def detector(self) -> str:
        """``svar``."""
        return "svar"

    @property
    def kind(self) -> Kind:
        """``provisional``: nobody fitted it."""
        return "provisional"

    @property
    def guarantee(self) -> Guarantee | None:
        """None."""
        return None

    @property
    def conditions(self) -> Conditions | None:
        """None: whoever chose the threshold knows the model it is for."""
        return None

    @property
    def watched(self) -> tuple[int, ...]:
        """The layers summed."""
        return self.layers.layers

    @property
    def lens(self) -> bool:
        """False."""
        return False

    @property
    def timing(self) -> Timing:
        """``predicting``: SVAR is known before the token is."""
        return "predicting"

    @property
    def threshold(self) -> float:
        """``minimum`` on the scale of the score."""
        return self._score(self.minimum)

    def save(self, folder: Path) -> None:
        """Write the threshold into a checkpoint's folder, whole or not at all."""
        known = {
            "format": FORMAT,
            "name": self.name,
            "minimum": self.minimum,
            "layers": [self.layers.first, self.layers.last],
        }
        partial = folder / f".{FILE}.partial"
        partial.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> SvarThreshold | None:
        """The threshold in a checkpoint's folder; ``None`` if it holds none.

        Raises:
            ValueError: the file is not such a threshold.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["format"] != FORMAT:
                raise ValueError(f"its format is {known['format']!r}")
            first, last = known["layers"]
            return cls(
                float(known["minimum"]),
                LayerRange(int(first), int(last), "calibration"),
                name=str(known["name"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} must be a threshold of format {FORMAT!r}: {error!s}. Remove it, or write "
                f"it anew with SvarThreshold.save."
            ) from error

    def judge(self, mentions: Sequence[MentionEvidence]) -> tuple[Judgement, ...]:
        """One judgement per mention; evidence with non-finite attention gets no score."""
        return tuple(map(self._judge, mentions))

    def _judge(self, mention: MentionEvidence) -> Judgement:
        evidence, threshold = mention.predicting, self.threshold
        if not np.isfinite(evidence.var).all():
            return Judgement(score=None, threshold=threshold, flagged=False)
        score = self._score(float(svar(evidence.var, evidence.layers, self.layers)))
        return Judgement(score=score, threshold=threshold, flagged=score >= threshold)

    def _score(self, value: float) -> float:
        return 1.0 - value / len(self.layers.layers)
