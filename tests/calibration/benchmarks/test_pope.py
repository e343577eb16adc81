"""POPE's figures, against what the official script computes and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sightline.calibration.benchmarks.answers import Answer
from sightline.calibration.benchmarks.pope import pope
from sightline.calibration.benchmarks.questions import Question
from sightline.calibration.benchmarks.saying import in_words, official_pope


def _asked(*rows: tuple[str, str, str | None]) -> tuple[list[Question], list[Answer]]:
    questions = [
        Question(i, image, "?", "yes" if truth == "yes" else "no")
        for i, (image, truth, _) in enumerate(rows)
    ]
    return questions, [Answer(text) for _, _, text in rows]


def test_by_hand() -> None:
    """Two hits, a false alarm, a miss and a right no, over two images."""
    given = _asked(
        ("a", "yes", "Yes"),
        ("a", "yes", "Yes, there is."),
        ("a", "no", "Yes"),
        ("b", "yes", "No"),
        ("b", "no", "no"),
    )
    for reading in (official_pope, in_words):
        found = pope(*given, reading)
        assert (found.questions, found.images) == (5, 2)
        assert found.accuracy.value == pytest.approx(3 / 5)
        assert found.precision.value == pytest.approx(2 / 3)
        assert found.recall.value == pytest.approx(2 / 3)
        assert found.f1.value == pytest.approx(2 / 3)
        assert found.yes.value == pytest.approx(3 / 5)
        assert found.unanswered.value == 0


def test_no_answer_is_a_yes_officially_and_wrong_in_words() -> None:
    """A model that describes the picture gets half of all right officially, nothing in words."""
    text = "A kitchen with an oven."
    given = _asked(*((str(i), truth, text) for i in range(4) for truth in ("yes", "no")))
    official, words = pope(*given, official_pope), pope(*given, in_words)
    assert (official.accuracy.value, official.recall.value, official.yes.value) == (0.5, 1, 1)
    assert official.f1.value == pytest.approx(2 / 3)
    assert (words.accuracy.value, words.recall.value, words.yes.value) == (0, 0, 0)
    assert words.unanswered.value == 1
    assert math.isnan(words.precision.value)
    assert words.f1.value == 0


def test_questions_that_could_not_be_asked_are_left_out() -> None:
    """They are nobody's mistake."""
    found = pope(*_asked(("a", "yes", "Yes"), ("b", "no", None)), official_pope)
    assert (found.questions, found.images, found.accuracy.value) == (1, 1, 1)
    with pytest.raises(ValueError, match="at least one answer"):
        pope(*_asked(("b", "no", None)), official_pope)


def test_intervals_go_by_image() -> None:
    """Six questions on an image that stand and fall together say no more than one."""
    rng = np.random.default_rng(0)
    right = rng.random(60) < 0.7
    one = _asked(*((str(i), "yes", "Yes" if ok else "No") for i, ok in enumerate(right)))
    six = _asked(
        *((str(i), "yes", "Yes" if ok else "No") for i, ok in enumerate(right) for _ in range(6))
    )
    few, many = pope(*one, in_words).accuracy, pope(*six, in_words).accuracy
    assert many.high - many.low == pytest.approx(few.high - few.low)
    assert few.low < few.value < few.high
