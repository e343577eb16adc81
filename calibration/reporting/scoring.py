"""Detectors fitted on some images and asked about others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from ...detectors.calibrated import CalibratedDetector
from ...detectors.detector import Detector
from ...detectors.features import feature, matrix
from ...detectors.named import detector
from ...detectors.probability import ProbabilityMap
from ...detectors.svar import LayerRange
from ..collecting.table import CalibrationTable
from ..fitting.probability import fit_probability
from ..fitting.scores import Scores
from ..fitting.splits import FEWEST, split


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A detector that could not be measured on a table.

    Attributes:
        detector: its name.
        reason: what is missing, and how to have it.
    """

    detector: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Who learns from what, and who is asked about what; no two share an image.

    Attributes:
        fit: detectors learn from these.
        probability: scores become probabilities on these.
        on: what they are asked about.
    """

    fit: CalibrationTable
    probability: CalibrationTable
    on: tuple[CalibrationTable, ...]

    @classmethod
    def of(cls, table: CalibrationTable, on: Sequence[CalibrationTable] = ()) -> Trial:
        """A fifth of a table's images make probabilities, the others fit.

        Without other tables to ask about, 30% of the images of this one are held out for it.

        Raises:
            ValueError: too few images, one kind of mention alone, or images that are both learned
                from and asked about.
        """
        parts = split(table)
        probability = table.of_images(parts.probability)
        if not on:
            held_out = table.of_images(parts.threshold)
            return cls(table.of_images(parts.fit), probability, (held_out,))
        for other in on:
            _refuse_shared(table, other)
            _refuse_one_kind(other)
        learn = np.sort(np.concatenate([parts.fit, parts.threshold]))
        return cls(table.of_images(learn), probability, tuple(on))

    def score(self, names: Sequence[str], *, jobs: int = 1) -> Iterator[_Answers]:
        """What each detector says of each table, in the order in which they are done.

        Args:
            names: of :data:`~sightline.detectors.named.DETECTORS`.
            jobs: processes to spread the detectors over.
        """
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=min(jobs, len(names)) or 1, return_as="generator_unordered")
        answers = parallel(delayed(_fit_and_score)(name, self) for name in names)
        return cast("Iterator[_Answers]", answers)


_Answers = tuple[Scores | NotMeasured, ...]


def scores_of(calibrated: CalibratedDetector, table: CalibrationTable) -> Scores:
    """What a calibration says of a table, with its own probabilities and threshold.

    Raises:
        ValueError: the table is of a model with other layers or heads.
    """
    return _scores(
        calibrated.scorer,
        table,
        calibrated.map,
        threshold=calibrated.threshold,
        layers=calibrated.layers,
    )


def _fit_and_score(name: str, trial: Trial) -> _Answers:
    try:
        made = detector(name)
        usable = _usable(made, trial.fit)
        fitted = made.fit(
            trial.fit.mentions.take(usable), trial.fit.labels[usable], trial.fit.images[usable]
        )
        to_probability = fit_probability(
            fitted.score(trial.probability.mentions),
            trial.probability.labels,
            trial.probability.images,
        )
    except ValueError as error:
        return tuple(NotMeasured(name, str(error)) for _ in trial.on)
    return tuple(_ask(fitted, table, to_probability) for table in trial.on)


def _usable(made: Detector, table: CalibrationTable) -> npt.NDArray[np.bool_]:
    """Which mentions have all the evidence that a detector learns from."""
    names = [name for name in made.features if not feature(name).optional]
    known = np.isfinite(matrix(table.mentions, names)).all(axis=1)
    if not known.any():
        raise ValueError(_unrecorded(made, table))
    return np.asarray(known)


def _unrecorded(made: Detector, table: CalibrationTable) -> str:
    for name in made.features:
        one = feature(name)
        if not one.optional and not np.isfinite(matrix(table.mentions, [name])).all(axis=1).any():
            return f"The table holds no {name} of any mention. {one.remedy}"
    return "No mention of the table has all the evidence that it reads."


def _ask(fitted: Detector, table: CalibrationTable, map_: ProbabilityMap) -> Scores | NotMeasured:
    try:
        found = _scores(fitted, table, map_)
    except ValueError as error:
        return NotMeasured(fitted.name, str(error))
    if not found.judged.any():
        return NotMeasured(fitted.name, _unrecorded(fitted, table))
    if len(np.unique(table.labels[found.judged])) < 2:
        return NotMeasured(
            fitted.name,
            f"It could judge {int(found.judged.sum())} mentions, all of one kind. Collect the "
            f"evidence that it reads for all images.",
        )
    return found


def _scores(
    fitted: Detector,
    table: CalibrationTable,
    map_: ProbabilityMap,
    *,
    threshold: float | None = None,
    layers: LayerRange | None = None,
) -> Scores:
    scores = fitted.score(table.mentions)
    if layers is None and fitted.features == ("svar-layers",) and fitted.layers:
        layers = LayerRange(fitted.layers[0], fitted.layers[-1], "calibration")
    return Scores(fitted.name, fitted.timing, scores, map_(scores), threshold, layers)


def _refuse_shared(table: CalibrationTable, other: CalibrationTable) -> None:
    shared = set(table.image_ids) & set(other.image_ids)
    # Images of other annotations are other images, whatever their names.
    if shared and table.info.annotations == other.info.annotations:
        raise ValueError(
            f"A detector must not be measured on images that it learned from, {len(shared)} of "
            f"{len(other.image_ids)} are in both tables (such as {min(shared)!r}). Collect other "
            f"images, or leave the second table out: some of the first are then held out."
        )


def _refuse_one_kind(table: CalibrationTable) -> None:
    wrong = int((table.labels == 1).sum())
    if not 0 < wrong < len(table):
        raise ValueError(
            f"A table to measure on needs real and hallucinated mentions, it has "
            f"{len(table) - wrong} real and {wrong} hallucinated ones in {len(table.image_ids)} "
            f"captions. Collect more images."
        )


def limits(table: CalibrationTable) -> tuple[str, ...]:
    """What must be said of whatever is measured on a table, one sentence each."""
    said = []
    if len(table.image_ids) < FEWEST:
        said.append(
            f"Measured on {len(table.image_ids)} images, fewer than {FEWEST}: the intervals are "
            f"too narrow, and the figures are worth little."
        )
    if table.unlabelled:
        said.append(
            f"{table.unlabelled:,} mentions are left out: the annotations do not cover their kind "
            f"of object."
        )
    return tuple(said)
