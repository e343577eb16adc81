"""POPE: what yes/no answers on the presence of objects come to.

Li et al., "Evaluating Object Hallucination in Large Vision-Language Models" (EMNLP 2023), arXiv
2305.10355. "Yes" is the positive class, as there: a false positive is a hallucinated object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..statistics import Estimate, Ints, ratio
from .answers import Answer
from .questions import Question
from .saying import Said

Reading = Callable[[str], Said | None]
"""What an answer says; ``None``: nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """How often what was said, one number an image, int64 ``[images]`` each.

    Attributes:
        asked: questions.
        true_yes: objects that are there and are said to be.
        false_yes: objects that are not there and are said to be.
        true_no: objects that are not there and are said not to be.
        false_no: objects that are there and are said not to be.
        there: questions on objects that are there.
    """

    asked: Ints
    true_yes: Ints
    false_yes: Ints
    true_no: Ints
    false_no: Ints
    there: Ints

    @classmethod
    def of(
        cls, questions: Sequence[Question], answers: Sequence[Answer], reading: Reading
    ) -> Tally:
        """Count the answers that were given; those that could not be are left out."""
        given = [
            (question, answer.text)
            for question, answer in zip(questions, answers, strict=True)
            if answer.text is not None
        ]
        images = {image: i for i, image in enumerate(dict.fromkeys(q.image for q, _ in given))}
        counts = np.zeros((len(fields(cls)), len(images)), np.int64)
        for question, text in given:
            said = reading(text)
            there = question.truth == "yes"
            counts[:, images[question.image]] += (
                1,
                there and said == "yes",
                not there and said == "yes",
                not there and said == "no",
                there and said == "no",
                there,
            )
        return cls(*counts)


@dataclass(frozen=True, slots=True)
class Pope:
    """POPE's figures, each with a 95% interval from redrawing images.

    A figure is NaN where nothing defines it: precision where nobody said yes. The official script
    ends with a division by zero there.

    Attributes:
        questions: how many were answered, whatever was said.
        images: of how many images.
        accuracy: share of questions answered rightly; one without an answer is not.
        precision: share of objects that are there, of those said to be.
        recall: share of objects said to be there, of those that are.
        f1: their harmonic mean.
        yes: share of questions answered with yes; half of them ought to be.
        unanswered: share of answers that say neither yes nor no.
    """

    questions: int
    images: int
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    yes: Estimate
    unanswered: Estimate


FIGURES = ("accuracy", "precision", "recall", "f1", "yes", "unanswered")
"""The names of those figures of :class:`Pope` that are shares."""


def pope(questions: Sequence[Question], answers: Sequence[Answer], reading: Reading) -> Pope:
    """POPE's figures over some questions.

    Raises:
        ValueError: no question has an answer.
    """
    n = Tally.of(questions, answers, reading)
    if not n.asked.sum():
        raise ValueError("POPE needs at least one answer, got none")
    yes = n.true_yes + n.false_yes
    return Pope(
        questions=int(n.asked.sum()),
        images=len(n.asked),
        accuracy=ratio(n.true_yes + n.true_no, n.asked),
        precision=ratio(n.true_yes, yes),
        recall=ratio(n.true_yes, n.there),
        # The harmonic mean of true_yes / yes and true_yes / there.
        f1=ratio(2 * n.true_yes, yes + n.there),
        yes=ratio(yes, n.asked),
        unanswered=ratio(n.asked - yes - n.true_no - n.false_no, n.asked),
    )
