"""From a calibration table to a calibrated detector."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Final

from ...detectors.bands import Bands
from ...detectors.calibrated import CalibratedDetector
from ...detectors.conditions import Conditions, ModelIdentity
from ...detectors.detector import Detector
from ...detectors.named import detector as named
from ...detectors.svar import LayerRange
from ..collecting.table import CalibrationTable
from .goal import Goal
from .guarantee import NoThreshold, Threshold, choose, require_mapie
from .heldout import HeldOut, probabilities_of
from .imagescores import ImageScores
from .probability import fit_probability
from .splits import PARTS, split

STEPS: Final = ("split", "layers", "detector", "probability", "threshold", "figures")
"""What :func:`fit` does, in order."""

_MADE_WITH: Final = ("sightline", "numpy", "scikit-learn", "mapie", "safetensors")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the table.

    Attributes:
        name: ``fit``, ``probability`` or ``threshold``.
        images: captioned images in it.
        mentions: their object mentions.
        hallucinated: of these.
    """

    name: str
    images: int
    mentions: int
    hallucinated: int


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A calibration, and how it came about.

    Attributes:
        calibrated: what the monitor judges with; without a threshold if none is valid. Save it
            with its ``save(folder)``.
        goal: what was asked for.
        outcome: the threshold, or why there is none.
        layers: the range over which SVAR separates best, on the fit part alone.
        parts: what was used for what.
        held_out: figures on the threshold part, which neither the detector nor its probabilities
            have seen. The threshold has: what it keeps there is what the guarantee corrects for.
    """

    calibrated: CalibratedDetector
    goal: Goal
    outcome: Threshold | NoThreshold
    layers: LayerRange
    parts: tuple[Part, ...]
    held_out: HeldOut


def fit(
    table: CalibrationTable,
    *,
    detector: str | Detector = "fused",
    target: str | Goal = "recall=0.8",
    confidence: float = 0.9,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> Fitted:
    """Fit a detector, make its scores probabilities, and choose a threshold that keeps a promise.

    Each on images of its own, see :mod:`.splits`: the detector and the range of layers on the fit
    part, the probabilities on the probability part, the threshold on the threshold part. What is
    usual of the mentions (``bands``) is described on all of them: nothing rests on it.

    Args:
        table: labelled mentions of at least 30 images.
        detector: one of :data:`~sightline.detectors.named.DETECTORS`, or one of your own.
        target: what the threshold must promise, such as ``recall=0.8``, ``precision=0.6`` or
            ``false-alarm=0.1``.
        confidence: of the promise, between 0 and 1; a :class:`~.goal.Goal` brings its own.
        seed: of the split. The same table, seed and versions always give the same calibration.
        on_step: called with each of :data:`STEPS` as it begins.

    Raises:
        ValueError: an unknown detector or target, too few images, a part with labels of one kind,
            or evidence that the detector needs and the table lacks.
        ImportError: MAPIE is not installed.
    """
    begin = on_step or _ignore
    goal = target if isinstance(target, Goal) else Goal.parse(target, confidence=confidence)
    unfitted = detector if isinstance(detector, Detector) else named(detector)
    require_mapie()
    begin("split")
    made = split(table, seed=seed)
    learn, shape, test = (
        table.of_images(part) for part in (made.fit, made.probability, made.threshold)
    )
    begin("layers")
    watched = named("svar").fit(learn.mentions, learn.labels, learn.images).layers
    assert watched, "an SVAR detector reads at least one layer"
    layers = LayerRange(watched[0], watched[-1], "calibration")
    begin("detector")
    scorer = unfitted.fit(learn.mentions, learn.labels, learn.images)
    bands = Bands.of(table.mentions, table.labels)
    begin("probability")
    mapped = fit_probability(scorer.score(shape.mentions), shape.labels, shape.images)

    def calibrated(outcome: Threshold | NoThreshold | None) -> CalibratedDetector:
        found = outcome if isinstance(outcome, Threshold) else None
        return CalibratedDetector(
            scorer,
            mapped,
            None if found is None else found.value,
            None if found is None else found.guarantee,
            _conditions(table),
            layers=layers,
            bands=bands,
            notes=(str(outcome),) if isinstance(outcome, NoThreshold) else (),
            versions={"python": platform.python_version()} | {n: version(n) for n in _MADE_WITH},
        )

    begin("threshold")
    rows, elsewhere = (
        ImageScores.of(
            goal.target,
            probabilities_of(calibrated(None), part),
            part.labels,
            part.images,
            count=len(part.image_ids),
        )
        for part in (test, shape)
    )
    outcome = choose(rows, goal, elsewhere=elsewhere)
    begin("figures")
    done = calibrated(outcome)
    return Fitted(
        calibrated=done,
        goal=goal,
        outcome=outcome,
        layers=layers,
        parts=tuple(
            Part(name, len(part.image_ids), len(part), int(part.labels.sum()))
            for name, part in zip(PARTS, (learn, shape, test), strict=True)
        ),
        held_out=HeldOut.of(done, test, goal.target),
    )


def evaluate(fitted: Fitted, table: CalibrationTable, *, fitted_on: CalibrationTable) -> HeldOut:
    """Figures on a table of other images.

    Raises:
        ValueError: the captions were written under other conditions, or some of the images are
            among those that it was fitted on.
    """
    before, now = fitted_on.info, table.info
    differing = before.differences(replace(now, annotations=before.annotations, lens=before.lens))
    if differing:
        raise ValueError(
            f"Tables to fit on and to evaluate on must come about in the same way, they differ in "
            f"{'; '.join(differing)}. Collect the second with the model and options of the first."
        )
    shared = set(fitted_on.image_ids) & set(table.image_ids)
    if shared and before.annotations == now.annotations:
        raise ValueError(
            f"Figures on images that a detector was fitted on say nothing, {len(shared)} of the "
            f"{len(table.image_ids)} images to evaluate on are, such as {min(shared)!r}. Collect "
            f"captions of other images."
        )
    return HeldOut.of(fitted.calibrated, table, fitted.goal.target)


def _conditions(table: CalibrationTable) -> Conditions:
    info = table.info
    return Conditions(
        ModelIdentity(
            info.model, info.revision, info.architecture, info.num_layers, info.num_heads
        ),
        info.prompt,
        info.settings,
        info.lexicon,
        table.data_hash,
    )


def _ignore(step: str) -> None:
    del step
