"""AMBER's figures by hand, one quirk of its script at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sightline.calibration.benchmarks.amber import (
    Described,
    amber_score,
    describe,
    discriminative,
    generative,
)
from sightline.calibration.benchmarks.amberdata import AmberData, Fact, Picture
from sightline.calibration.benchmarks.saying import Said

from .amberfolder import write

BELOW = 0.001


class Words:
    """Every word is a noun."""

    name = "words"

    def __call__(self, text: str) -> list[str]:
        return text.split()


class Pairs:
    """Words that mean about the same, told one by one."""

    name = "pairs"

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self._pairs = {frozenset(pair) for pair in pairs}

    def __call__(self, word: str, other: str) -> bool:
        return word == other or frozenset((word, other)) in self._pairs


Describe = Callable[..., Described]


@pytest.fixture(name="data")
def _data(tmp_path: Path) -> AmberData:
    return AmberData.load(write(tmp_path))


@pytest.fixture(name="told")
def _told(data: AmberData) -> Describe:
    """Holds words against the first picture: grass, ground, two ships; no dog, no bird."""
    picture = data.annotations[0]
    assert isinstance(picture, Picture)

    def hold(text: str, *pairs: tuple[str, str]) -> Described:
        return describe(text, picture, data, Words(), Pairs(*pairs))

    return hold


def test_only_known_nouns_count(told: Describe) -> None:
    """A word that relation.json does not know is no noun, however wrong it is."""
    found = told("elephant grass Dog ships")
    assert found.nouns == ("grass",)
    assert found.made_up == (False,)


def test_the_first_thing_with_the_word_is_covered(told: Describe) -> None:
    """ "ground" goes with grass and covers that, though ground itself is in the list."""
    assert told("ground").covered == (True, False, False, False)
    assert told("grass ground").covered == (True, False, False, False)
    assert told("ground floor", ("floor", "x")).covered == (True, False, False, False)


def test_of_two_alike_one_is_covered(told: Describe) -> None:
    """Cover counts two ships, and no number of boats covers the second."""
    assert told("ship boat vessel ship").covered == (False, False, True, False)


def test_safe_words_only_count(told: Describe) -> None:
    """ "floor" is a safe word here: a noun below the line, and nothing else."""
    found = told("floor")
    assert (found.nouns, found.made_up) == (("floor",), (False,))
    assert found.covered == (False,) * 4


def test_what_is_expected_and_named(told: Describe) -> None:
    """It is made up, and Cog; something nobody expected is made up alone."""
    dog, sky = told("dog"), told("sky")
    assert (dog.made_up, dog.expected) == ((True,), (True, False))
    assert (sky.made_up, sky.expected) == ((True,), (False, False))


def test_resemblance_forgives_but_cog_remembers(told: Describe) -> None:
    """A dog like a ship is none made up, covers the ship, and counts for Cog all the same."""
    found = told("dog", ("dog", "ship"))
    assert found.made_up == (False,)
    assert found.covered == (False, False, True, False)
    assert found.expected == (True, False)


def test_resemblance_may_count_a_second_expectation(told: Describe) -> None:
    """A bird is compared with all that is expected: the first alike is a dog, so both count."""
    assert told("bird", ("bird", "dog")).expected == (True, True)
    assert told("sky", ("sky", "bird")).expected == (False, True)


def test_repeated_nouns_count_again(told: Describe) -> None:
    """CHAIR is over mentions."""
    assert told("dog dog grass").made_up == (True, True, False)


def test_generative_figures(data: AmberData) -> None:
    """Shares in percent, rounded to a decimal, 0.001 below every line."""
    described = [
        ("a", Described(("x",) * 4, (True, False, False, False), (True, False), (True,))),
        ("b", Described(("x",) * 2, (False, False), (True,), (False, False))),
    ]
    found = generative(described, data.start)
    assert found.chair.value == round(100 * 1 / (6 + BELOW), 1)
    assert found.cover.value == round(100 * 2 / (3 + BELOW), 1)
    assert found.cog.value == round(100 * 1 / (3 + BELOW), 1)
    assert found.hal.value == round(100 - 100 * 1 / (2 + BELOW), 1)
    assert found.chair.interval.value == pytest.approx(100 / 6)
    assert found.hal.interval.value == pytest.approx(50)
    assert 0 <= found.hal.interval.low <= 50 <= found.hal.interval.high <= 100
    with pytest.raises(ValueError, match="at least one description"):
        generative([], data.start)


def test_a_single_faultless_description_has_a_hal_above_zero(data: AmberData) -> None:
    """100 - 100 / 1.001 is 0.1 after rounding: the script's counters say so."""
    one = Described(("x",), (False,), (True,), ())
    found = generative([("a", one)], data.start)
    assert found.hal.value == 0.1
    assert found.hal.interval.value == 0
    assert found.cover.value == 99.9
    assert found.cog.value == 0


def _answers(*rows: tuple[Said, Said | None]) -> list[tuple[str, Fact, Said | None]]:
    return [(str(i), Fact("existence", truth), said) for i, (truth, said) in enumerate(rows)]


def test_no_is_the_positive_class(data: AmberData) -> None:
    """Of three right denials two are made, a third no is wrong, one answer says nothing."""
    rows = _answers(("no", "no"), ("no", "no"), ("no", None), ("yes", "no"), ("yes", "yes"))
    found = discriminative(rows, data.start, "relation")
    precision, recall = round(200 / (3 + BELOW), 1), round(200 / (3 + BELOW), 1)
    assert found.accuracy.value == round(300 / (5 + BELOW), 1)
    assert (found.precision.value, found.recall.value) == (precision, recall)
    f1 = 2 * (precision / 100) * (recall / 100) / (precision / 100 + recall / 100 + 0.0001)
    assert found.f1.value == round(100 * f1, 1)
    assert found.unanswered.value == pytest.approx(0.2)
    assert found.f1.interval.value == pytest.approx(200 / 3)


def test_existence_divides_by_a_little_more(data: AmberData) -> None:
    """F1 on existence has 0.001 below the line, all others 0.0001: to the digit."""
    rows = [*_answers(("no", "no")), *_answers(("no", "yes"))] * 100
    assert discriminative(rows, data.start, "discriminative").f1.value == 66.7
    assert discriminative(rows, data.start, "existence").f1.value == 66.6


def test_attributes_begin_with_three_thousandths(data: AmberData) -> None:
    """Each kind's counter has its own 0.001; on few questions it shows."""
    rows = _answers(("no", "no"))
    assert discriminative(rows, data.start, "state").accuracy.value == 99.9
    assert discriminative(rows, data.start, "attribute").accuracy.value == 99.7


def test_amber_score(data: AmberData) -> None:
    """The mean of what CHAIR leaves and F1."""
    one = Described(("x", "x"), (True, False), (True,), ())
    described = generative([("a", one)], data.start)
    answered = discriminative(_answers(("no", "no")), data.start, "discriminative")
    assert described.chair.value == 50.0
    assert amber_score(described, answered) == pytest.approx((50 + answered.f1.value) / 2)
