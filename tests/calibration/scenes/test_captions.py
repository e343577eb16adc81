"""Captions: true first, typical afterwards, and the same sentences for both."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sightline.calibration.scenes import captions
from sightline.calibration.scenes.captions import (
    Subject,
    Thing,
    subject,
    write_brief,
    write_detailed,
)
from sightline.calibration.scenes.catalogue import SCENES, TYPES
from sightline.calibration.scenes.render import render
from sightline.calibration.scenes.world import sample_scene


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    """What there is to say of three hundred development scenes."""
    return [subject(render(sample_scene(20_000_000 + i))) for i in range(300)]


def test_plan_starts_true_and_goes_on_typical(subjects: list[Subject]) -> None:
    """The first object named is there; every invented one is absent and typical of the place."""
    rng = np.random.default_rng(0)
    invented = told_all = 0
    for about in subjects:
        there = {t.type for t in about.things}
        told, absent = captions.plan(about, rng)
        wrong = [t.type for t in told if t.type not in there]
        assert len(wrong) == absent
        assert len({t.type for t in told}) == len(told)
        assert all(name in SCENES[about.kind].typical for name in wrong)
        if len(told) > absent:
            assert told[0].type in there
        invented += absent
        told_all += len(told)
    assert 0.10 < invented / told_all < 0.22


def test_going_on_is_rarer_the_more_was_said(subjects: list[Subject]) -> None:
    """Pictures that show little are the ones whose captions invent."""
    rng = np.random.default_rng(1)
    few = [a for a in subjects if len(a.things) <= 2]
    many = [a for a in subjects if len(a.things) >= 6]
    few_rate, many_rate = (
        np.mean([captions.plan(a, rng)[1] for a in group for _ in range(20)])
        for group in (few, many)
    )
    assert few_rate > 4 * many_rate


def test_larger_objects_are_named_more_often() -> None:
    """Salience decides who is left out."""
    rng = np.random.default_rng(2)
    things = (
        Thing("bus", 1, "red", "on the left", 0.1, 1.0),
        Thing("bird", 1, "blue", "on the left", 0.001, 1.0),
        Thing("dog", 1, "brown", "on the left", 0.02, 0.4),
    )
    about = Subject("street", things)
    named = [{t.type for t in captions.plan(about, rng)[0]} for _ in range(600)]
    bus, bird, dog = (np.mean([name in n for n in named]) for name in ("bus", "bird", "dog"))
    assert bus > dog > bird > 0.5


def test_nothing_visible_still_gives_a_caption() -> None:
    """An empty scene gets a caption, however little there is to say."""
    rng = np.random.default_rng(3)
    empty = Subject("farm", ())
    assert write_brief(empty, rng) == "A farm."
    assert write_detailed(empty, rng).endswith(".")


def test_brief_captions_name_only_what_is_there(subjects: list[Subject]) -> None:
    """One sentence, nothing invented."""
    rng = np.random.default_rng(4)
    for about in subjects:
        text = write_brief(about, rng)
        assert text.count(".") == 1
        there = {form for t in about.things for names in TYPES[t.type].names for form in names}
        for kind in TYPES.values():
            for form in (form for names in kind.names for form in names):
                if re.search(rf"\b{form}\b", text) and form not in there:
                    assert any(form in other for other in there), (form, text)


def test_sentences_do_not_tell_true_from_invented() -> None:
    """The templates used around true and invented objects are the same, equally often."""
    true = Thing("dog", 1, "brown", "on the left", 0.05, 1.0)
    false = Thing("dog", 1, "brown", "on the left", 0.0, 1.0)
    a, b = (
        [captions._Writer(np.random.default_rng(i)).sentence([thing]) for i in range(200)]
        for thing in (true, false)
    )
    assert a == b


def test_same_generator_state_same_text(subjects: list[Subject]) -> None:
    """Writing is reproducible."""
    a, b = (write_detailed(subjects[0], np.random.default_rng(5)) for _ in range(2))
    assert a == b


@pytest.mark.parametrize("noun", ["oven", "umbrella", "office", "orange cat"])
def test_articles_agree(noun: str) -> None:
    """An before a vowel."""
    assert captions._a(noun) == f"an {noun}"
