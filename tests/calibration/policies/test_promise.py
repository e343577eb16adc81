"""What is promised: read from the command line, and counted in outcomes."""

from __future__ import annotations

import pytest
from sightline.calibration.policies.promise import Promise

from .worlds import outcome


def test_a_promise_is_read_as_it_is_written() -> None:
    """Name and level, blanks allowed."""
    assert Promise.parse("captions=0.15", confidence=0.8) == Promise("captions", 0.15, 0.8)
    assert Promise.parse(" mentions = 0.05", most=9) == Promise("mentions", 0.05, 0.9, 9)
    assert str(Promise("mentions", 0.05)) == "mentions=0.05"


@pytest.mark.parametrize("text", ["", "captions", "captions=", "captions=some", "words=0.1", "0.1"])
def test_anything_else_is_refused(text: str) -> None:
    """The message shows how it is written."""
    with pytest.raises(ValueError, match=r"captions=0.15 or mentions=0.05"):
        Promise.parse(text)


@pytest.mark.parametrize("level", ["0", "1", "-0.1", "1.5", "nan"])
def test_nothing_is_promised_of_all_or_none(level: str) -> None:
    """Levels and confidences lie strictly between 0 and 1."""
    with pytest.raises(ValueError, match="level of a promise must lie between 0 and 1"):
        Promise.parse(f"captions={level}")
    with pytest.raises(ValueError, match="confidence of a promise"):
        Promise.parse("captions=0.1", confidence=float(level))


def test_there_must_be_mentions_to_count() -> None:
    """At least one of each caption."""
    with pytest.raises(ValueError, match="At least 1 mention"):
        Promise("mentions", 0.1, most=0)


def test_captions_are_wrong_or_not() -> None:
    """However many things they have wrong; a caption that names nothing is not."""
    some = [outcome("a", "1", wrong=3), outcome("a", "2"), outcome("a", "3", real=0)]
    wrong, of = Promise("captions", 0.1).counted(some)
    assert wrong.tolist() == [1, 0, 0]
    assert of.tolist() == [1, 1, 1]


def test_of_mentions_the_first_ones_count() -> None:
    """Repetitions included, what follows the limit left out."""
    some = [outcome("a", "1", real=2, wrong=3), outcome("a", "2", real=1, wrong=1)]
    wrong, of = Promise("mentions", 0.1, most=4).counted(some)
    assert wrong.tolist() == [2, 1]
    assert of.tolist() == [4, 2]
