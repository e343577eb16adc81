"""A fitted detector with its probabilities, its threshold and what may be believed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .bands import Bands
from .certificate import Certificate
from .conditions import Conditions
from .detector import Detector
from .guarantee import Guarantee
from .mentions import MentionEvidence, Mentions, Timing
from .probability import ProbabilityMap
from .svar import LayerRange
from .verdict import Judgement, Kind, Scope

NO_THRESHOLD = (
    "No threshold satisfied what was asked for, so nothing is flagged; probabilities stand."
)


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedDetector:
    """What ``sightline calibrate fit`` makes, and what the monitor judges with.

    The score that is compared with the threshold is the probability itself.

    Example::

        calibrated.save(Path("artifact"))
        monitor = Monitor(model, processor, calibration="artifact")

    Args:
        scorer: the fitted detector.
        map: turns its scores into probabilities.
        threshold: the probability from which mentions are flagged, 0..1; ``None`` if none was
            valid: mentions then get their probability and are never flagged.
        guarantee: what the threshold promises, if it promises anything.
        conditions: the model, the prompt and the decoding that it was calibrated under.
        name: what reports call it; by default its detector and model.
        layers: what SVAR in reports should sum over, chosen on the fit split; by default those
            of an SVAR detector, and else the monitor's choice.
        scope: which mentions may be flagged; a calibration on object mentions says nothing of
            other nouns.
        notes: what users must know of it wherever they meet its verdicts, one sentence each.
        created: when it was fitted, ISO 8601.
        versions: of the libraries that it was fitted with.
        certificate: a policy that was calibrated on top of it, and what it promises of the
            captions it leaves; see :meth:`with_certificate`.
        bands: how much the mentions that it was fitted on look at the image, for readers.

    Raises:
        ValueError: the threshold is no probability, a guarantee stands without a threshold, the
            detector is not fitted, or its layers or heads are not the model's.
    """

    scorer: Detector
    map: ProbabilityMap
    threshold: float | None
    guarantee: Guarantee | None
    conditions: Conditions
    name: str = field(default="", kw_only=True)
    layers: LayerRange | None = field(default=None, kw_only=True)
    scope: Scope = field(default="objects", kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    created: str = field(default="", kw_only=True)
    versions: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    certificate: Certificate | None = field(default=None, kw_only=True)
    bands: Bands | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        model, scorer = self.conditions.model, self.scorer
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(
                f"A threshold must be a probability between 0 and 1, or None where none is valid, "
                f"was: {self.threshold}."
            )
        if self.threshold is None and self.guarantee is not None:
            raise ValueError(
                f"A guarantee needs a threshold, there is none but it promises: {self.guarantee}"
            )
        if not scorer.fitted:
            raise ValueError(f"Detector {scorer.name!r} must be fitted: pass what fit() returns.")
        summed = () if self.layers is None else self.layers.layers
        usual = () if self.bands is None else self.bands.layers
        last = max((*self.watched, *summed, *usual), default=-1)
        if last >= model.num_layers:
            raise ValueError(
                f"A calibration's layers must lie within the model's 0-{model.num_layers - 1}, "
                f"one is {last}."
            )
        if self.watched and scorer.heads != model.num_heads:
            raise ValueError(
                f"A calibration's heads must be the model's {model.num_heads} in each layer, "
                f"detector {scorer.name!r} reads {scorer.heads}."
            )
        if self.layers is None and scorer.features == ("svar-layers",) and self.watched:
            over = LayerRange(self.watched[0], self.watched[-1], "calibration")
            object.__setattr__(self, "layers", over)
        if not self.name:
            object.__setattr__(self, "name", f"{scorer.name} on {model.name}")
        if not self.created:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            object.__setattr__(self, "created", now)

    @property
    def detector(self) -> str:
        """Name of the detector."""
        return self.scorer.name

    @property
    def kind(self) -> Kind:
        """``calibrated``."""
        return "calibrated"

    @property
    def limits(self) -> tuple[str, ...]:
        """The notes, and that there is no threshold where there is none."""
        return self.notes if self.threshold is not None else (NO_THRESHOLD, *self.notes)

    @property
    def watched(self) -> tuple[int, ...]:
        """The decoder layers that the detector reads."""
        return self.scorer.layers or ()

    @property
    def lens(self) -> bool:
        """Whether the detector reads internal confidence."""
        return self.scorer.needs_lens

    @property
    def timing(self) -> Timing:
        """The latest row that the detector reads."""
        return self.scorer.timing

    def judge(self, mentions: Sequence[MentionEvidence]) -> tuple[Judgement, ...]:
        """One judgement per mention; where the evidence is not finite it has no score.

        Raises:
            ValueError: a layer was not watched, or the number of heads differs.
        """
        if not mentions:
            return ()
        columns = Mentions.of(mentions)
        parts = self.scorer.parts(columns)
        if parts is None:
            probabilities = self.map(self.scorer.score(columns)).tolist()
            return tuple(self._judged(one, None, None) for one in probabilities)
        prior, evidence = parts
        probabilities = self.map(prior + evidence).tolist()
        return tuple(map(self._judged, probabilities, prior.tolist(), evidence.tolist()))

    def _judged(self, probability: float, prior: float | None, evidence: float | None) -> Judgement:
        if not np.isfinite(probability):
            return Judgement(score=None, threshold=self.threshold, flagged=False)
        return Judgement(
            score=probability,
            threshold=self.threshold,
            flagged=self.threshold is not None and probability >= self.threshold,
            probability=probability,
            prior=prior,
            evidence=evidence,
        )

    def with_certificate(self, certificate: Certificate | None) -> CalibratedDetector:
        """The same with a calibrated policy, in place of the one it had, or without any.

        What the policy promises rests on these very scores: it is lost when the detector is fitted
        again.
        """
        return replace(self, certificate=certificate)

    def with_bands(self, bands: Bands | None) -> CalibratedDetector:
        """The same with other bands; no verdict rests on them."""
        return replace(self, bands=bands)

    def save(self, folder: str | Path) -> None:
        """Write the calibration into a folder, whole or not at all; see :mod:`.artifact`.

        Raises:
            ArtifactError: something else lies in the folder.
            OSError: it cannot be written.
        """
        from .artifact.folder import save

        save(self, Path(folder))

    @staticmethod
    def load(folder: str | Path) -> CalibratedDetector:
        """Read a calibration from a folder; no code that it may bring along is run.

        Raises:
            ArtifactError: a file is missing, damaged or foreign, or newer than this package.
        """
        from .artifact.folder import load

        return load(Path(folder))
