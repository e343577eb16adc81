"""What answers say, by the official scripts' rules and in words."""

from __future__ import annotations

import pytest
from sightline.calibration.benchmarks.saying import in_words, official_amber, official_pope


@pytest.mark.parametrize(
    ("answer", "official", "words"),
    [
        ("Yes", "yes", "yes"),
        ("No", "no", "no"),
        ("no, there is not", "no", "no"),
        ("No, there is no dog. Yes, a cat.", "no", "no"),
        ("There is no dog in the image.", "no", "no"),
        ("It is not there", "no", "no"),
        # Only the first sentence counts, up to a full stop, and up to nothing else.
        ("Yes. No", "yes", "yes"),
        ("Yes! No", "no", "yes"),
        ("1. No", "yes", None),
        # Words are what stands between single spaces, commas apart, with the script's own case.
        ("NO", "yes", "no"),
        ("No!", "yes", "no"),
        ("No\n", "yes", "no"),
        ("\nno\n", "yes", "no"),
        ("no;", "yes", "no"),
        ("Not at all", "yes", "no"),
        ("Nothing of the kind", "yes", None),
        ("There isn't any", "yes", None),
        # Whatever does not deny, affirms.
        ("", "yes", None),
        ("A kitchen with an oven.", "yes", None),
        ("I cannot tell", "yes", None),
        ("Yes and no", "no", None),
        ("Yes, there is no doubt", "no", None),
    ],
)
def test_pope(answer: str, official: str, words: str | None) -> None:
    """POPE's script takes all for a yes that has no no in it; in words, one must be said."""
    assert official_pope(answer) == official
    assert in_words(answer) == words


def test_amber() -> None:
    """AMBER's script knows two answers, to the letter."""
    assert official_amber("Yes") == "yes"
    assert official_amber("No") == "no"
    assert {official_amber(text) for text in ("yes", "Yes.", " No", "No, it is not", "")} == {None}
