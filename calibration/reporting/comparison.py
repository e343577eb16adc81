"""Detectors side by side on the same mentions: overall, among first mentions, at the same place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from ...detectors.mentions import Timing
from ..collecting.table import CalibrationTable
from ..fitting.probability import calibration_error
from ..fitting.scores import Scores
from ..ranking import Ranking
from ..statistics import Drawn, Estimate, drawn_by_image
from .scoring import NotMeasured, Trial, limits

PRIOR: Final = "prior"
"""The detector that sees no image: what every other one is held against."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one detector is worth; 95% intervals redraw images.

    Attributes:
        detector: its name.
        timing: whether its verdict is there before the token, or one token later.
        judged: how many mentions it gave a score; the figures are over these.
        auroc: over all mentions.
        average_precision: over all mentions.
        first_auroc: over first mentions.
        first_average_precision: over first mentions.
        within_auroc: over first mentions, each compared with those of the same mention index.
        lift: ``auroc`` minus that of the prior on the same mentions, paired by image; ``None``
            for the prior itself, or where it was not measured.
        within_lift: likewise of ``within_auroc``.
        calibration_error: of its probabilities, over all mentions; ``None`` if it has none.
    """

    detector: str
    timing: Timing
    judged: int
    auroc: Estimate
    average_precision: Estimate
    first_auroc: Estimate
    first_average_precision: Estimate
    within_auroc: Estimate
    lift: Estimate | None
    within_lift: Estimate | None
    calibration_error: Estimate | None


@dataclass(frozen=True, slots=True)
class Source:
    """Which mentions.

    Attributes:
        model: which model wrote the captions.
        revision: commit or content hash of its weights; empty if unknown.
        prompt: the question.
        images: captioned images.
        mentions: labelled object mentions.
        hallucinated: how many of them are hallucinated.
        data: SHA-256 of the table.
    """

    model: str
    revision: str
    prompt: str
    images: int
    mentions: int
    hallucinated: int
    data: str

    @classmethod
    def of(cls, table: CalibrationTable) -> Source:
        """What a table says of itself."""
        info = table.info
        return cls(
            info.model,
            info.revision,
            info.prompt,
            len(table.image_ids),
            len(table),
            int(table.labels.sum()),
            table.data_hash,
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Detectors fitted on some images of a model's and measured on others.

    Attributes:
        fit: what they learned from; the images that probabilities were made on not counted.
        on: what they were measured on.
        rows: of the detectors, in the order asked for.
        missing: those that could not be measured.
        limits: what must be said of the figures.
    """

    fit: Source
    on: Source
    rows: tuple[Row, ...]
    missing: tuple[NotMeasured, ...]
    limits: tuple[str, ...]


def compare(
    trial: Trial,
    names: Sequence[str],
    *,
    draws: int = 400,
    jobs: int = 1,
    progress: Callable[[str], object] = lambda done: None,
) -> tuple[Comparison, ...]:
    """Fit detectors and measure them, one comparison for each table asked about.

    Args:
        trial: the tables.
        names: of :data:`~sightline.detectors.named.DETECTORS`; the prior is fitted in any case,
            for the lifts.
        draws: redraws of images for the intervals.
        jobs: processes to spread the detectors over.
        progress: called with a detector's name whenever it is fitted or measured: twice for each
            of :func:`needed`.
    """
    answers = {}
    for answer in trial.score(needed(names), jobs=jobs):
        answers[answer[0].detector] = answer
        progress(answer[0].detector)
    return tuple(
        measure(
            trial,
            table,
            [answers[name][place] for name in names],
            prior=answers[PRIOR][place],
            draws=draws,
            jobs=jobs,
            progress=progress if not place else lambda done: None,
        )
        for place, table in enumerate(trial.on)
    )


def needed(names: Sequence[str]) -> tuple[str, ...]:
    """The detectors to fit for a comparison of some of them."""
    return tuple(dict.fromkeys((*names, PRIOR)))


def measure(
    trial: Trial,
    table: CalibrationTable,
    found: Sequence[Scores | NotMeasured],
    *,
    prior: Scores | NotMeasured | None = None,
    draws: int = 400,
    jobs: int = 1,
    progress: Callable[[str], object] = lambda done: None,
) -> Comparison:
    """Measure what detectors said of a table; see :func:`compare`."""
    from joblib import Parallel, delayed

    scored = [scores for scores in found if isinstance(scores, Scores)]
    yardstick = prior if isinstance(prior, Scores) else None
    ground = _Ground(table.labels, table.images, table.mentions.index, table.first)
    parallel = Parallel(n_jobs=min(jobs, len(scored)) or 1, return_as="generator")
    measured = parallel(delayed(_row)(ground, scores, yardstick, draws) for scores in scored)
    rows = []
    for row in cast("Iterator[Row]", measured):
        rows.append(row)
        progress(row.detector)
    return Comparison(
        Source.of(trial.fit),
        Source.of(table),
        tuple(rows),
        tuple(scores for scores in found if isinstance(scores, NotMeasured)),
        limits(table),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """What of a table a measurement needs; little to hand to another process."""

    labels: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]
    first: npt.NDArray[np.bool_]

    def areas(
        self, scores: npt.NDArray[np.float64], kept: npt.NDArray[np.bool_], draws: int
    ) -> tuple[Drawn, Drawn, Drawn, Drawn, Drawn]:
        """AUROC and AP overall and of first mentions, and AUROC within mention index."""
        first = kept & self.first
        return (
            *self._pair(scores, kept, draws),
            *self._pair(scores, first, draws),
            _drawn(
                Ranking.of(self.labels[first], scores[first], self.index[first]).auroc,
                self.images[first],
                draws,
            ),
        )

    def _pair(
        self, scores: npt.NDArray[np.float64], kept: npt.NDArray[np.bool_], draws: int
    ) -> tuple[Drawn, Drawn]:
        ranking = Ranking.of(self.labels[kept], scores[kept])
        images = self.images[kept]
        return _drawn(ranking.auroc, images, draws), _drawn(
            ranking.average_precision, images, draws
        )


def _drawn(
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    images: npt.NDArray[np.int64],
    draws: int,
) -> Drawn:
    return drawn_by_image(statistic, images, draws=draws)


def _row(ground: _Ground, scores: Scores, prior: Scores | None, draws: int) -> Row:
    kept = scores.judged
    areas = ground.areas(scores.scores, kept, draws)
    lift = within_lift = error = None
    if prior is not None and scores.detector != PRIOR and prior.judged[kept].all():
        base = ground.areas(prior.scores, kept, draws)
        lift, within_lift = (areas[0] - base[0]).estimate, (areas[4] - base[4]).estimate
    if scores.probabilities is not None:
        error = calibration_error(ground.labels, scores.probabilities, ground.images, draws=draws)
    return Row(
        scores.detector,
        scores.timing,
        int(kept.sum()),
        auroc=areas[0].estimate,
        average_precision=areas[1].estimate,
        first_auroc=areas[2].estimate,
        first_average_precision=areas[3].estimate,
        within_auroc=areas[4].estimate,
        lift=lift,
        within_lift=within_lift,
        calibration_error=error,
    )
