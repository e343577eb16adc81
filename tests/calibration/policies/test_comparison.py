"""Ways side by side: figures that can be counted by hand."""

from __future__ import annotations

import pytest
from sightline.calibration.policies.comparison import Goal, compare_ways
from sightline.calibration.policies.outcomefile import Trial, TrialError
from sightline.calibration.policies.ways import Plain

from .outcomes import STOP, header, outcome, trial

TRUE = outcome()
WRONG = outcome(mentions=("cat", "kite"), words=("a", "cat", "a", "cat", "a"), seconds=2.0)
CUT = outcome(passes=6, seconds=1.5, actions={"stopped": 1}, flagged=1)


def test_figures_are_those_of_the_captions() -> None:
    """CHAIR, recall and costs of four greedy captions and of what a policy made of them."""
    greedy, stop = compare_ways(
        trial({Plain(): [TRUE, TRUE, WRONG, WRONG], STOP: [TRUE, TRUE, CUT, WRONG]})
    ).rows
    assert greedy.against is None
    assert greedy.misses is None
    assert not greedy.meets
    assert greedy.chair.chair_i.value == pytest.approx(2 / 6)
    against = stop.against
    assert against is not None
    assert stop.chair.chair_s.value == 0.25
    assert against.chair_s.value == pytest.approx(-0.5)
    assert against.chair_i.value == pytest.approx((1 / 5) / (2 / 6) - 1)
    assert against.recall.value == 0
    assert against.rep_2.value == pytest.approx(2 / 7 - 4 / 10)
    assert against.passes.value == pytest.approx(18 / 16)
    assert against.time.value == 1.0
    assert against.total_time.value == pytest.approx(5.5 / 6)
    assert against.same.value == 1.0
    assert stop.extra.value == pytest.approx(0.5)
    assert stop.acted.value == 0.25
    assert stop.misses == ("CHAIR_I", "CHAIR_S")


def test_a_way_that_reaches_the_goal_says_so() -> None:
    """All five parts of the goal count, and each that is missed is named."""
    captions = {Plain(): [WRONG] * 4, STOP: [CUT] * 4}
    stop = compare_ways(trial(captions)).rows[1]
    assert stop.against is not None
    assert stop.misses == ()
    assert stop.meets
    assert stop.against.time.value == 0.75
    assert stop.against.time_quartiles == (0.75, 0.75)
    strict = Goal(chair_cut=1.1, recall_loss=-0.1, repetition=-2.0, time=0.5)
    missed = compare_ways(trial(captions), goal=strict).rows[1].misses
    assert missed == ("CHAIR_I", "CHAIR_S", "recall", "Rep-2", "time")


def test_images_count_that_all_ways_wrote_about() -> None:
    """An image that one way has not come to yet is left out of all."""
    whole = trial({Plain(): [TRUE, WRONG, WRONG], STOP: [TRUE, CUT, CUT]})
    part = Trial(whole.header, whole.outcomes[:-1], ())
    found = compare_ways(part)
    assert found.images == 2
    assert found.rows[0].chair.captions == 2


def test_without_greedy_captions_there_is_no_comparison() -> None:
    """Neither without them, nor without a shared image."""
    with pytest.raises(TrialError, match="greedy captions, which were not written"):
        compare_ways(trial({STOP: [TRUE]}))
    with pytest.raises(TrialError, match="there is none"):
        compare_ways(Trial(header(), (), ()))
