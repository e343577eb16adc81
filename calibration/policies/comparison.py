"""Ways side by side: what each leaves of hallucination, what it loses of the truth, what it costs.

All intervals redraw images; whatever is held against greedy decoding is paired by image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..objects.chair import Chair, Counts, chair
from ..statistics import Estimate, difference, ratio, relative_change
from .outcome import Outcome
from .outcomefile import Trial, TrialError
from .ways import GREEDY, Plain

Floats = npt.NDArray[np.float64]

_DRAWS: Final = 1000
_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Goal:
    """What a way is to reach, against greedy decoding.

    Attributes:
        chair_cut: least relative cut of CHAIR_I, and of CHAIR_S.
        recall_loss: most recall that may be lost.
        repetition: most by which Rep-2 may rise.
        time: most time, greedy's being 1.
    """

    chair_cut: float = 0.6
    recall_loss: float = 0.02
    repetition: float = 0.01
    time: float = 1.35


@dataclass(frozen=True, slots=True)
class Against:
    """One way against greedy decoding, paired by image.

    Attributes:
        chair_i: relative change of CHAIR_I over mentions; -.6 is a cut of 60%.
        chair_s: relative change of CHAIR_S.
        recall: difference.
        rep_2: difference.
        passes: forward passes, greedy's being 1.
        time: median over images of the seconds, greedy's on the same image being 1.
        total_time: seconds of all images together, greedy's being 1.
        time_quartiles: between which the ratio lies for half of the images.
        same: share of captions that are greedy's, letter by letter.
    """

    chair_i: Estimate
    chair_s: Estimate
    recall: Estimate
    rep_2: Estimate
    passes: Estimate
    time: Estimate
    total_time: Estimate
    time_quartiles: tuple[float, float]
    same: Estimate

    def misses(self, goal: Goal) -> tuple[str, ...]:
        """What of a goal is not reached, by the figures themselves; nothing if all of it is."""
        parts = {
            "CHAIR_I": self.chair_i.value <= -goal.chair_cut,
            "CHAIR_S": self.chair_s.value <= -goal.chair_cut,
            "recall": self.recall.value >= -goal.recall_loss,
            "Rep-2": self.rep_2.value <= goal.repetition,
            "time": self.time.value <= goal.time,
        }
        return tuple(name for name, reached in parts.items() if not reached)


@dataclass(frozen=True, slots=True)
class WayRow:
    """What came of one way.

    Attributes:
        way: its name.
        kind: of way, as in :mod:`.ways`.
        family: as of the way.
        place: as of the way.
        listed: as of the way.
        chair: CHAIR and its company.
        tokens: tokens a caption keeps.
        extra: forward passes a caption beyond those.
        acted: share of captions that were acted on.
        against: greedy decoding; ``None`` for greedy decoding itself.
        misses: what of the goal it does not reach; ``None`` for greedy decoding itself.
    """

    way: str
    kind: str
    family: str
    place: float
    listed: bool
    chair: Chair
    tokens: Estimate
    extra: Estimate
    acted: Estimate
    against: Against | None
    misses: tuple[str, ...] | None

    @property
    def meets(self) -> bool:
        """Whether all of the goal is reached."""
        return self.misses == ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """All ways of a trial.

    Attributes:
        model: that wrote.
        images: on how many images; the same for all ways.
        unreadable: how many were left out because they cannot be read.
        rows: one a way, in the trial's order.
        goal: what they are held against.
    """

    model: str
    images: int
    unreadable: int
    rows: tuple[WayRow, ...]
    goal: Goal


def compare_ways(trial: Trial, *, goal: Goal | None = None) -> Comparison:
    """Hold the ways of a trial against its greedy captions, on the images that all ways share.

    Raises:
        TrialError: no image has outcomes of all ways, or nothing was written greedily.
    """
    goal = goal or Goal()
    ways = trial.header.ways
    by_way: dict[str, dict[str, Outcome]] = {str(way["name"]): {} for way in ways}
    for one in trial.outcomes:
        by_way[one.way][one.image] = one
    shared = set.intersection(*(set(found) for found in by_way.values()))
    images = [i for i in dict.fromkeys(one.image for one in trial.outcomes) if i in shared]
    if not images:
        raise TrialError(
            "Ways can be compared on images that all of them wrote about, of which "
            "there is none. Let the trial go on."
        )
    plain = next((str(way["name"]) for way in ways if way["kind"] == Plain.kind), None)
    if plain is None:
        raise TrialError(
            f"Ways are compared with greedy captions, which were not written. Add {GREEDY!r}."
        )
    greedy = [by_way[plain][image] for image in images]
    rows = []
    for way in ways:
        outcomes = [by_way[str(way["name"])][image] for image in images]
        against = None if way["name"] == plain else _against(outcomes, greedy)
        rows.append(
            WayRow(
                way=str(way["name"]),
                kind=str(way["kind"]),
                family=str(way["family"]),
                place=float(way["place"]),
                listed=bool(way["listed"]),
                chair=chair([one.labelled for one in outcomes]),
                tokens=_mean([one.tokens for one in outcomes]),
                extra=_mean([one.passes - one.tokens for one in outcomes]),
                acted=_mean([bool(sum(one.actions.values())) for one in outcomes]),
                against=against,
                misses=None if against is None else against.misses(goal),
            )
        )
    return Comparison(trial.header.model, len(images), len(trial.unreadable), tuple(rows), goal)


def _against(outcomes: Sequence[Outcome], greedy: Sequence[Outcome]) -> Against:
    mine, base = (Counts.of(one.labelled for one in some) for some in (outcomes, greedy))
    one = np.ones(len(outcomes))
    again, base_again = (
        np.array([each.labelled.repeated_bigrams for each in some], float)
        for some in (outcomes, greedy)
    )
    times = np.array(
        [
            mine.seconds / max(theirs.seconds, 1e-9)
            for mine, theirs in zip(outcomes, greedy, strict=True)
        ]
    )
    low, high = np.quantile(times, (0.25, 0.75))
    return Against(
        chair_i=relative_change(mine.wrong, mine.mentions, base.wrong, base.mentions),
        chair_s=relative_change(mine.wrong > 0, one, base.wrong > 0, one),
        recall=difference(mine.found, mine.objects, base.found, base.objects),
        rep_2=difference(again[:, 0], again[:, 1], base_again[:, 0], base_again[:, 1]),
        passes=ratio([each.passes for each in outcomes], [each.passes for each in greedy]),
        time=_median(times),
        total_time=ratio([each.seconds for each in outcomes], [each.seconds for each in greedy]),
        time_quartiles=(float(low), float(high)),
        same=_mean(
            [mine.text == theirs.text for mine, theirs in zip(outcomes, greedy, strict=True)]
        ),
    )


def _mean(values: Sequence[float]) -> Estimate:
    return ratio(values, np.ones(len(values)))


def _median(values: Floats, *, seed: int = 0) -> Estimate:
    """The median, with the interval of redrawing images."""
    rng = np.random.default_rng(seed)
    drawn = [
        np.median(values[rng.integers(0, len(values), (_AT_ONCE, len(values)))], axis=1)
        for _ in range(_DRAWS // _AT_ONCE)
    ]
    low, high = np.quantile(np.concatenate(drawn), (0.025, 0.975))
    return Estimate(float(np.median(values)), float(low), float(high))
