"""Captions as the script's lemmas: what the built-in rules make of them."""

from __future__ import annotations

import pytest
from sightline.calibration.objects.official import built_in


@pytest.mark.parametrize(
    ("caption", "lemmas"),
    [
        ("Dogs, cups.", ["dog", ",", "cup", "."]),
        ("She pursed her lips.", ["she", "purse", "her", "lips", "."]),
        ("Planing wood.", ["planing", "wood", "."]),
        ("They go motorbiking.", ["they", "go", "motorbike", "."]),
        ("The dogs sit.Cats too!", ["the", "dog", "sit.cats", "too", "!"]),
        ("", []),
    ],
)
def test_words_that_count_are_lemmatised(caption: str, lemmas: list[str]) -> None:
    """Only they are, all words are in lower case, and punctuation is kept."""
    assert built_in()(caption) == lemmas


@pytest.mark.parametrize(
    ("caption", "lemma"),
    [
        ("A person skiing down.", "ski"),
        ("The skiing is fun.", "skiing"),
        ("Their skiing is fun.", "skiing"),
        ("An impressive skiing trick.", "skiing"),
        ("Enough room to provide seating.", "seat"),
    ],
)
def test_nouns_follow_articles_possessives_and_adjectives(caption: str, lemma: str) -> None:
    """There an -ing form is a noun and stays, elsewhere it is a verb."""
    assert lemma in built_in()(caption)


@pytest.mark.parametrize(
    ("caption", "counted"),
    [
        ("The umbrellas are open.", True),
        ("Umbrellas held by people.", True),
        ("Umbrellas placed on the beach.", True),
        ("The umbrellas come in many colors.", False),
        ("The umbrellas provide shade.", False),
        ("They carry umbrellas as well.", False),
        ("They hold umbrellas", True),
    ],
)
def test_a_plural_that_the_tagger_does_not_know(caption: str, counted: bool) -> None:
    """It is no noun before a finite verb."""
    assert ("umbrella" in built_in()(caption)) is counted


@pytest.mark.parametrize(
    ("caption", "lemmas"),
    [
        ("It is 12:00. The clock.", ["it", "is", "12:00.", "the", "clock", "."]),
        ("On page 5. (A clock.)", ["on", "page", "5", ".", "(", "a", "clock", ".", ")"]),
        ("Plan b. Then c.", ["plan", "b.", "then", "c", "."]),
        ("At noon. The clock.", ["at", "noon", ".", "the", "clock", "."]),
    ],
)
def test_no_sentence_ends_at_a_number(caption: str, lemmas: list[str]) -> None:
    """Nor at a single letter, for the next word is in lower case by then."""
    assert built_in()(caption) == lemmas
