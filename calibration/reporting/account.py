"""All that a report on a calibration says: data, comparison, figures, thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from ...detectors.calibrated import CalibratedDetector
from ...detectors.certificate import Certificate
from ...detectors.evidence import IMAGE
from ...detectors.svar import LayerRange
from ...monitor.cli.terminal import harmless
from ..collecting.table import CalibrationTable, TableInfo
from ..fitting.scores import Scores
from .comparison import PRIOR, Comparison, Row, Source, measure, needed
from .figures.contributions import Contributions
from .figures.curves import Curves
from .figures.distributions import SvarDistributions
from .figures.figure import Figure, Missing, plain
from .figures.heads import HeadMap
from .figures.positions import Positions
from .figures.ranges import LayerRanges
from .figures.reliability import Reliability
from .scoring import NotMeasured, Trial, scores_of
from .thresholds import Thresholds

SVAR: Final = "svar"
_MAIN: Final = ("fused", "heads-linear", SVAR)
"""Whose probabilities the figures show, if no artifact is given: the first that was measured."""

_LONGEST: Final = 30

_BLIND: Final = (
    "Attention was finite in too few mentions, of one kind at most: the model's attention "
    "overflowed. Collect again with the model in bfloat16 or float32."
)

_SHOWN: Final = (PRIOR, SVAR, "heads-linear", "log-prob", "lens")
"""Whose curves are drawn beside the main detector's."""


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """A report before it is rendered.

    Attributes:
        info: what the captions measured on have in common.
        comparison: detectors side by side.
        main: the row of the detector whose probabilities and thresholds are shown.
        artifact: name of the calibration that it is of; empty if it was fitted for the report.
        promise: what its threshold promises, in words; empty if it promises nothing.
        figures: in order; some may be missing, with a reason.
        thresholds: what each threshold of the main detector would do.
        limits: what must be said of all of it, one sentence each.
        certificate: the policy that came with the calibration, and what it promises.
    """

    info: TableInfo
    comparison: Comparison
    main: Row
    artifact: str
    promise: str
    figures: tuple[Figure | Missing, ...]
    thresholds: Thresholds
    limits: tuple[str, ...]
    certificate: Certificate | None = None

    @property
    def source(self) -> Source:
        """What was measured on."""
        return self.comparison.on

    def numbers(self) -> dict[str, Any]:
        """Everything shown, as JSON has it; what is not defined is null."""
        return {
            "info": plain(self.info),
            "comparison": plain(self.comparison),
            "main": self.main.detector,
            "artifact": self.artifact,
            "promise": self.promise,
            "figures": {
                figure.name: {"missing": figure.reason}
                if isinstance(figure, Missing)
                else {"title": figure.title, "caption": figure.caption, "numbers": plain(figure)}
                for figure in self.figures
            },
            "thresholds": plain(self.thresholds),
            "limits": list(self.limits),
            "certificate": plain(self.certificate),
        }


def account(
    table: CalibrationTable,
    on: CalibrationTable | None,
    names: Sequence[str],
    *,
    calibrated: CalibratedDetector | None = None,
    draws: int = 400,
    jobs: int = 1,
    progress: Callable[[str], object] = lambda done: None,
) -> Account:
    """Fit detectors on a table, measure them on images they have not seen, and draw it all up.

    Args:
        table: fitted on.
        on: measured on; by default images held out of ``table``.
        names: the detectors to compare; SVAR and the prior are fitted in any case.
        calibrated: a calibration whose probabilities and threshold to show; by default those of
            the fused detector, which is fitted for it.
        draws: redraws of images for the intervals.
        jobs: processes to spread the detectors over.
        progress: called with what is done, :func:`steps` times.

    Raises:
        ValueError: too few images, one kind of mention alone, images that are both learned from
            and measured on, or a calibration of another model.
    """
    trial = Trial.of(table, () if on is None else (on,))
    asked = trial.on[0]
    limits: tuple[str, ...] = ()
    artifact: Scores | None = None
    if calibrated is not None:
        _refuse_another_model(calibrated, asked.info)
        limits = _seen(calibrated, table, on)
        artifact = scores_of(calibrated, asked)
        # Its name is whatever its maker wrote: fit for a terminal, a legend and a table.
        name = " ".join(harmless(artifact.detector).split())[:_LONGEST]
        artifact = replace(artifact, detector=f"{name} (artifact)")
    answers: dict[str, Scores | NotMeasured] = {}
    for (answer,) in trial.score(fitted(names), jobs=jobs):
        answers[answer.detector] = answer
        progress(answer.detector)
    main = artifact or next(
        (found for name in (*_MAIN, *names) if isinstance(found := answers.get(name), Scores)), None
    )
    if main is None or not main.judged.any():
        raise ValueError(
            "No detector could be measured on this table: "
            + "; ".join(
                f"{a.detector}: {a.reason}" for a in answers.values() if isinstance(a, NotMeasured)
            )
        )
    shown = [answers[name] for name in names]
    if main.detector not in names:
        shown.insert(0, main)
    comparison = measure(
        trial, asked, shown, prior=answers.get(PRIOR), draws=draws, jobs=jobs, progress=progress
    )
    return Account(
        asked.info,
        comparison,
        next(row for row in comparison.rows if row.detector == main.detector),
        "" if calibrated is None else f"{calibrated.name}, {calibrated.created}",
        str(calibrated.guarantee) if calibrated is not None and calibrated.guarantee else "",
        _figures(asked, answers, main, draws),
        Thresholds.of(asked, main),
        (*limits, *comparison.limits),
        None if calibrated is None else calibrated.certificate,
    )


def fitted(names: Sequence[str]) -> tuple[str, ...]:
    """The detectors that are fitted for a report on some of them."""
    return tuple(dict.fromkeys((*needed(names), SVAR, _MAIN[0])))


def steps(names: Sequence[str], *, artifact: bool) -> int:
    """How often :func:`account` calls ``progress``, about."""
    return len(fitted(names)) + len(names) + artifact


def _figures(
    table: CalibrationTable, answers: dict[str, Scores | NotMeasured], main: Scores, draws: int
) -> tuple[Figure | Missing, ...]:
    svar = answers[SVAR]
    layers = main.layers or (svar.layers if isinstance(svar, Scores) else None)
    chosen = layers or LayerRange.scaled(table.info.num_layers)
    beside = [answers.get(name) for name in _SHOWN]
    curves = [main, *(b for b in beside if isinstance(b, Scores) and b.detector != main.detector)]
    seen = np.isfinite(table.mentions.masses[..., IMAGE]).all(axis=(1, 2))
    attention: tuple[Figure | Missing, ...]
    if len(np.unique(table.labels[seen])) < 2:
        kinds = (HeadMap, SvarDistributions, LayerRanges, Positions)
        attention = tuple(Missing.instead_of(kind, _BLIND) for kind in kinds)
    else:
        attention = (
            HeadMap.of(table),
            SvarDistributions.of(table, chosen),
            LayerRanges.of(table, layers),
            Positions.of(table, chosen, main, draws=draws),
        )
    heads, distributions, ranges, positions = attention
    return (
        heads,
        Contributions.of(table, draws=draws),
        distributions,
        ranges,
        Curves.of(table, curves, draws=min(draws, 200)),
        Reliability.of(table, main, draws=draws),
        positions,
    )


def _refuse_another_model(calibrated: CalibratedDetector, info: TableInfo) -> None:
    model = calibrated.conditions.model
    same = (model.architecture, model.num_layers, model.num_heads) == (
        info.architecture,
        info.num_layers,
        info.num_heads,
    )
    if not same or (model.revision and info.revision and model.revision != info.revision):
        raise ValueError(
            f"A calibration must be of the model whose captions it is measured on, it is of "
            f"{model.name} ({model.architecture}, {model.num_layers} layers, {model.num_heads} "
            f"heads, revision {model.revision or 'unknown'}), the table of {info.model} "
            f"({info.architecture}, {info.num_layers} layers, {info.num_heads} heads, revision "
            f"{info.revision or 'unknown'}). Fit one on this model's table."
        )


def _seen(
    calibrated: CalibratedDetector, table: CalibrationTable, on: CalibrationTable | None
) -> tuple[str, ...]:
    if calibrated.conditions.table == table.data_hash and on is None:
        return (
            "The artifact was calibrated on this very table: its threshold, and with another seed "
            "the detector too, has seen the images it is measured on here. Give other ones with "
            "--on.",
        )
    if on is not None and calibrated.conditions.table == on.data_hash:
        return (
            "The artifact was calibrated on the very images it is measured on here: its figures "
            "flatter it.",
        )
    return ()
