"""The threshold that keeps a promise, with the image as the unit: Learn then Test by MAPIE."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...detectors.extras import remedy
from ...detectors.guarantee import Guarantee, percent
from .goal import Goal
from .imagescores import Floats, ImageScores

CANDIDATES: Final[Floats] = np.concatenate([[0.0], 1 / (1 + np.exp(-np.linspace(-10, 10, 1001)))])
"""The thresholds tried: 0, which flags all that can be judged, and 1,001 probabilities at steps of
0.02 in the log-odds. They are fixed before any data is seen, as Learn then Test wants them."""

_MOST: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold that keeps a promise.

    Attributes:
        value: mentions of at least this probability are flagged.
        guarantee: what it promises.
        valid: how many of :data:`CANDIDATES` keep the promise.
    """

    value: float
    guarantee: Guarantee
    valid: int


@dataclass(frozen=True, slots=True)
class NoThreshold:
    """No threshold keeps the promise: a result, not a failure.

    Attributes:
        goal: what was asked for.
        images: how many calibration images count for it.
        best: the share measured on them at the most promising threshold; NaN if none counts.
        reachable: the nearest level, to a percent, that these images do support with the same
            confidence; ``None`` if they support none.
        needed: about how many such images it would take if ``best`` is what more of them show as
            well; ``None`` if no number of images would do.
    """

    goal: Goal
    images: int
    best: float
    reachable: float | None
    needed: int | None

    def __str__(self) -> str:
        goal = self.goal
        which = {
            "recall": "images whose captions hallucinate",
            "precision": "images with a flag",
            "false-alarm": "images whose captions are true",
        }[goal.target]
        said = [f"No threshold keeps {goal} with {percent(goal.confidence)} confidence."]
        if not self.images:
            said.append(f"There are no {which} to calibrate on. Collect more images.")
            return " ".join(said)
        said.append(
            f"There are {self.images:,} {which} to calibrate on; at the most promising threshold "
            f"the share on them is {self.best:.1%},"
        )
        if self.needed is None:
            said.append(
                "and more images are not likely to change that. Ask for less, or fit a better "
                "detector."
            )
        else:
            said.append(
                f"but they are too few to be sure. About {self.needed:,} would do, "
                f"{self.needed / self.images:.1f} times as many."
            )
        if self.reachable is not None:
            said.append(f"What they support is {goal.target}={self.reachable:g}.")
        return " ".join(said)


def choose(
    rows: ImageScores, goal: Goal, *, elsewhere: ImageScores | None = None
) -> Threshold | NoThreshold:
    """The threshold that keeps a promise and, of those that do, disturbs least.

    That is the highest for recall, which flags least, and the lowest for the two others, which
    flags most.

    Every candidate is a hypothesis, "this threshold breaks the promise", with MAPIE's exact
    binomial p-value over images, drawn independently of each other. The hypotheses are tested in
    a fixed order, each at the full error rate, and the first that stands ends the search: the
    chance that any threshold declared valid breaks the promise is at most ``1 - confidence``,
    whatever the number of candidates. The order must not depend on the rows. For recall and
    false-alarm, whose risks only grow along it, it runs from the most to the least careful
    threshold. Precision has no such order: it starts at the threshold with the strongest evidence
    ``elsewhere`` and goes down from there; without such rows, Holm's correction pays for all
    candidates.

    Args:
        rows: the images to calibrate on; the detector and its probability have not seen them.
        goal: what to promise.
        elsewhere: rows of other images, for the order of precision alone.

    Source: Angelopoulos et al., "Learn then Test", arXiv 2110.01052, section 2.3 (fixed sequence)
    and 3.2 (binomial p-values); Holm 1979.
    """
    if elsewhere is not None and not (elsewhere.scores >= 0).any():
        elsewhere = None  # No threshold flags any of these: they say nothing about an order.
    valid = _valid(rows, goal, elsewhere) if len(rows) else CANDIDATES[:0]
    if not len(valid):
        return _explain(rows, goal, elsewhere)
    value = float(valid.max() if goal.target == "recall" else valid.min())
    images, measured = rows.counted(goal.target, value)
    promised = Guarantee(
        target=goal.target,
        level=goal.level,
        confidence=goal.confidence,
        images=images,
        measured=measured,
    )
    return Threshold(value=value, guarantee=promised, valid=len(valid))


def p_values(rows: ImageScores, goal: Goal) -> Floats:
    """MAPIE's p-value of each candidate breaking the promise, float64, one per candidate.

    Raises:
        ImportError: MAPIE is not installed; the message says how to.
    """
    return np.asarray(_calibrated(rows, goal).p_values, dtype=np.float64)[:, 0]


def require_mapie() -> None:
    """Find out before any work is done whether thresholds can be chosen.

    Raises:
        ImportError: MAPIE is not installed; the message says how to.
    """
    try:
        import mapie.risk_control  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Thresholds with a guarantee need MAPIE, which is not installed: "
            f"{remedy('calibration')}"
        ) from error


def _valid(rows: ImageScores, goal: Goal, elsewhere: ImageScores | None) -> Floats:
    controller = _calibrated(rows, goal)
    if goal.target != "precision":
        return np.asarray(controller.valid_predict_params, dtype=np.float64)
    from mapie.risk_control import control_fwer

    order, method = np.arange(len(CANDIDATES)), "bonferroni_holm"
    if elsewhere is not None:
        start = int(np.nanargmin(p_values(elsewhere, goal)))
        order, method = np.arange(start, -1, -1), "split_fixed_sequence"
    # Undefined where nothing is flagged: nothing speaks against the hypothesis there. MAPIE's own
    # Holm gives up at the first undefined value.
    p = np.nan_to_num(np.asarray(controller.p_values)[order, 0], nan=1.0)
    return np.asarray(CANDIDATES[order[control_fwer(p, 1 - goal.confidence, fwer_method=method)]])


def _calibrated(rows: ImageScores, goal: Goal) -> Any:
    """MAPIE's controller, calibrated on the rows of a target."""
    require_mapie()
    from mapie.risk_control import (
        BinaryClassificationController,
        false_positive_rate,
        precision,
        recall,
    )

    risks = {"recall": recall, "precision": precision, "false-alarm": false_positive_rate}
    controller = BinaryClassificationController(
        predict_function=_both_classes,
        risk=risks[goal.target],
        target_level=float(goal.level),
        confidence_level=float(goal.confidence),
        list_predict_params=CANDIDATES,
        fwer_method="bonferroni" if goal.target == "precision" else "fixed_sequence",
    )
    with warnings.catch_warnings():
        # That no threshold is valid, or all are, is said in our own words.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"mapie\.")
        return controller.calibrate(rows.scores, rows.labels)


def _both_classes(scores: npt.ArrayLike) -> Floats:
    hallucinated = np.asarray(scores, dtype=np.float64)
    return np.column_stack([1 - hallucinated, hallucinated])


def _explain(rows: ImageScores, goal: Goal, elsewhere: ImageScores | None) -> NoThreshold:
    if not len(rows):
        return NoThreshold(goal, images=0, best=float("nan"), reachable=None, needed=None)
    error, evidence = 1 - goal.confidence, rows
    if goal.target == "precision":
        if elsewhere is None:
            error /= len(CANDIDATES)
        else:
            evidence = elsewhere
    p = p_values(evidence, goal)
    easiest = int(np.nanargmin(p)) if np.isfinite(p).any() else 0
    images, best = rows.counted(goal.target, float(CANDIDATES[easiest]))
    return NoThreshold(
        goal,
        images=images,
        best=best,
        reachable=_reachable(rows, goal, elsewhere),
        needed=images_needed(
            best if goal.at_most else 1 - best, goal.risk, error, at_least=images + 1
        ),
    )


def _reachable(rows: ImageScores, goal: Goal, elsewhere: ImageScores | None) -> float | None:
    percent = round(goal.level * 100)
    easier = range(percent + 1, 100) if goal.at_most else range(percent - 1, 0, -1)
    for level in easier:
        if len(_valid(rows, Goal(goal.target, level / 100, goal.confidence), elsewhere)):
            return level / 100
    return None


def images_needed(measured: float, allowed: float, error: float, *, at_least: int) -> int | None:
    """The least number of images, to about a percent, at which a risk so small is proof."""
    if not measured < allowed:
        return None
    from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

    counts = np.unique(np.geomspace(at_least, _MOST, 1500).astype(np.int64))
    risks = np.full(len(counts), measured)
    p = compute_hoeffding_bentkus_p_value(risks, counts, allowed, binary=True)[:, 0]
    enough = np.flatnonzero(p <= error)
    return int(counts[enough[0]]) if len(enough) else None
