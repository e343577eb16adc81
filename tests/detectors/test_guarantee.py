"""What a promise says to people."""

from __future__ import annotations

import pytest
from sightline.detectors.guarantee import Guarantee, Target, percent


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("recall", "at least 80% of the images whose captions hallucinate have every"),
        ("precision", "in at least 80% of the images with a flag, the most suspicious object"),
        ("false-alarm", "at most 80% of the images whose captions are true have a flag"),
    ],
)
def test_each_target_in_words(target: Target, words: str) -> None:
    """The level, the confidence and the number of images are said, and what is not covered."""
    said = str(Guarantee(target, 0.8, 0.9, 1234, 0.83))
    assert words in said
    assert "With 90% confidence, on images like the 1,234" in said
    assert "not what is done about them" in said


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.8, "80%"), (0.07, "7%"), (0.001, "0.1%"), (0.925, "92.5%"), (0.999, "99.9%")],
)
def test_percentages_are_not_rounded_away(share: float, said: str) -> None:
    """A promise of 0.1% is not one of 0%, and 99.9% is not certainty."""
    assert percent(share) == said
