"""Findings, against tellings made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sightline.calibration.objects.chair import Labelled
from sightline.calibration.scenes.findings import (
    Detection,
    Observed,
    intervention_ranges,
    mitigation,
    pointing,
    provisional,
    truth_of,
)
from sightline.calibration.scenes.render import Picture, render
from sightline.calibration.scenes.telling import Telling
from sightline.calibration.scenes.world import Placed, Scene
from sightline.monitor.language.lexicon import Lexicon

LAYERS, HEADS, PATCHES = 3, 2, 64


def _picture() -> Picture:
    """A bus on the upper left and a dog on the lower right."""
    bus = Placed("bus", "red", (206, 44, 40), (0.0, 0.0, 0.25, 0.25), False, 1.0)
    dog = Placed("dog", "brown", (126, 82, 46), (0.75, 0.75, 1.0, 1.0), False, 1.0)
    return render(Scene(1, "street", 0.5, 0.0, (bus, dog)))


def _telling(text: str, var: dict[str, float], patch: dict[str, int]) -> Telling:
    """A caption of one token a word, each with its image attention and most attended patch."""
    words = text.split()
    spans, start = [], 0
    for word in words:
        spans.append((max(start - 1, 0), start + len(word)))
        start += len(word) + 1
    attention = np.full((len(words), LAYERS, HEADS), 0.1, np.float32)
    patches = np.zeros((len(words), LAYERS, PATCHES), np.float16)
    for i, word in enumerate(words):
        attention[i] = var.get(word.strip("."), 0.1)
        patches[i, :, patch.get(word.strip("."), 30)] = 0.5
    blank = np.zeros(len(words), np.float32)
    return Telling(text, tuple(spans), True, attention, patches, blank, blank)


@pytest.fixture(scope="module")
def observed() -> Observed:
    """One picture, told twice: once with a made-up traffic light, once repeating the bus."""
    told = _telling(
        "There is a bus and a traffic light . A dog is near the bus .",
        {"bus": 0.6, "dog": 0.5, "traffic": 0.2},
        {"bus": 9, "dog": 54},
    )
    again = _telling("A kite . A dog .", {"kite": 0.3, "dog": 0.4}, {"kite": 0, "dog": 0})
    picture = _picture()
    return Observed.of([picture, picture], [told, again], Lexicon.load("small"))


def test_mentions_are_labelled_in_order(observed: Observed) -> None:
    """Objects, places, repetitions, truth and first sub-tokens."""
    first, second = observed.mentions
    assert truth_of(observed.pictures[0]) == {"bus", "dog"}
    assert [(m.object, m.index, m.first, m.hallucinated) for m in first] == [
        ("bus", 0, True, False),
        ("traffic light", 1, True, True),
        ("dog", 2, True, False),
        ("bus", 3, False, False),
    ]
    assert [m.token for m in first] == [3, 6, 10, 14]
    assert [(m.object, m.hallucinated) for m in second] == [("kite", True), ("dog", False)]


def test_typical_share(observed: Observed) -> None:
    """A traffic light belongs in a street, a kite does not."""
    assert observed.typical_share().value == 0.5


def test_chair_of_the_tellings(observed: Observed) -> None:
    """Two of six mentions are made up."""
    assert observed.chair().chair_i.value == pytest.approx(2 / 6)
    assert observed.chair().recall.value == pytest.approx(3 / 4)


def test_detection_reads_the_first_token(observed: Observed) -> None:
    """SVAR sums the head means of the predicting row; high scores mean hallucinated."""
    found = Detection.of(observed)
    assert found.labels.tolist() == [0, 1, 0, 1, 0]
    assert found.svar(0, 2) == pytest.approx([-1.8, -0.6, -1.5, -0.9, -1.2])
    assert found.svar(1, 1) == pytest.approx([-0.6, -0.2, -0.5, -0.3, -0.4])
    assert found.svar(0, 0, naming=True)[0] == pytest.approx(-0.1)
    assert found.separation(found.svar(0, 2)).overall.value == 1.0
    assert set(found.by_range()) == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)}


def test_pointing_finds_the_object(observed: Observed) -> None:
    """The bus and one dog are pointed at; the other dog's attention lies elsewhere."""
    own = pointing(observed, (0, 2), hallucinated=False, naming=False, own=True)
    assert own.hits.value == pytest.approx(2 / 3)
    assert own.chance.value == pytest.approx(4 / 64, abs=0.02)
    other = pointing(observed, (0, 2), hallucinated=True, naming=False, own=False)
    assert other.hits.value == pytest.approx(1 / 2)


def test_provisional_threshold_flags_little_attention(observed: Observed) -> None:
    """The threshold lies at a low quantile of what real mentions get."""
    found = Detection.of(observed)
    chosen = provisional(found, found, (0, 2))
    assert 1.2 < chosen.minimum < 1.5
    assert chosen.flagged_hallucinated.value == 1.0
    assert chosen.flagged_real.value == pytest.approx(1 / 3)


def test_mitigation_is_paired() -> None:
    """The same captions change nothing; dropping a made-up object halves what is left."""
    truth = frozenset({"bus", "dog"})
    greedy = [Labelled(("bus", "kite"), truth, ()), Labelled(("dog", "kite"), truth, ())] * 10
    better = [Labelled(("bus",), truth, ()), Labelled(("dog", "kite"), truth, ())] * 10
    same = mitigation(1.0, (0, 2), greedy, greedy)
    assert same.chair_i_change.value == 0.0
    assert same.recall_change.value == 0.0
    gain = mitigation(1.0, (0, 2), better, greedy)
    assert gain.chair_i_change.value == pytest.approx((1 / 3) / (1 / 2) - 1)
    assert gain.recall_change.value == 0.0


def test_intervention_ranges_cover_the_model() -> None:
    """All layers, each third, each half and the middle, inside the model."""
    ranges = intervention_ranges(12)
    assert (0, 11) in ranges
    assert {(0, 3), (4, 7), (8, 11)} <= set(ranges)
    assert len(set(ranges)) == len(ranges)
    assert all(0 <= first <= last < 12 for first, last in ranges)
