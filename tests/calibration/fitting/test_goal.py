"""What may be asked for, and what is refused with a reason."""

from __future__ import annotations

import pytest
from sightline.calibration.fitting.goal import Goal


def test_a_goal_reads_as_it_is_written() -> None:
    """The text of a goal is what the command line takes."""
    for text in ("recall=0.8", "precision=0.6", "false-alarm=0.1"):
        goal = Goal.parse(text, confidence=0.95)
        assert (str(goal), goal.confidence) == (text, 0.95)


def test_the_risk_is_what_may_go_wrong() -> None:
    """A share to reach leaves the rest to go wrong; a limit is the risk itself."""
    assert Goal("recall", 0.75).risk == 0.25
    assert Goal("false-alarm", 0.1).risk == 0.1
    assert Goal("false-alarm", 0.1).at_most
    assert not Goal("precision", 0.6).at_most


@pytest.mark.parametrize(
    "text", ["recall", "recall=", "recall=high", "accuracy=0.9", "0.8", "", "recall:0.8"]
)
def test_other_words_are_refused_with_an_example(text: str) -> None:
    """What is no target is answered by how targets are written."""
    with pytest.raises(ValueError, match=r"written as recall=0\.8.* was: '"):
        Goal.parse(text)


@pytest.mark.parametrize("level", ["0", "1", "1.5", "-0.1", "nan", "inf", "80"])
def test_levels_outside_the_open_interval_are_refused(level: str) -> None:
    """Neither certainty nor nonsense can be promised."""
    with pytest.raises(ValueError, match=r"level of a promise must lie between 0 and 1"):
        Goal.parse(f"recall={level}")


@pytest.mark.parametrize("confidence", [0.0, 1.0, 1.1, float("nan")])
def test_confidence_outside_the_open_interval_is_refused(confidence: float) -> None:
    """The same holds for how sure one wants to be."""
    with pytest.raises(ValueError, match=r"confidence of a promise must lie between 0 and 1"):
        Goal.parse("recall=0.8", confidence=confidence)
