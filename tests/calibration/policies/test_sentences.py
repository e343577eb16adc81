"""Sentences of finished captions."""

from __future__ import annotations

import pytest
from sightline.calibration.policies.sentences import sentence_starts, sentence_texts


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", ()),
        ("A cat.", ("A cat.",)),
        ("A cat. Two dogs!", ("A cat. ", "Two dogs!")),
        ('He says "no." A cat', ('He says "no." ', "A cat")),
        ("One\n\nTwo", ("One\n\n", "Two")),
        ("No end", ("No end",)),
    ],
)
def test_sentences_are_those_of_a_policy(text: str, sentences: tuple[str, ...]) -> None:
    """Quotes that close stay with their sentence, a paragraph's end is one, and none is lost."""
    assert sentence_texts(text) == sentences
    assert [text[start] for start in sentence_starts(text)] == [one[0] for one in sentences]
