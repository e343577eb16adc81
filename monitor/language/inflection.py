"""English noun plurals, written out once into the lexicon files, never guessed while decoding."""

from __future__ import annotations

from typing import Final

IRREGULAR: Final = {
    "calf": ("calves",),
    "child": ("children",),
    "foot": ("feet",),
    "goose": ("geese",),
    "grandchild": ("grandchildren",),
    "half": ("halves",),
    "hoof": ("hooves", "hoofs"),
    "knife": ("knives",),
    "leaf": ("leaves",),
    "life": ("lives",),
    "loaf": ("loaves",),
    "man": ("men",),
    "mouse": ("mice",),
    "ox": ("oxen",),
    "person": ("people", "persons"),
    "pocketknife": ("pocketknives",),
    "scarf": ("scarves", "scarfs"),
    "shelf": ("shelves",),
    "thief": ("thieves",),
    "tooth": ("teeth",),
    "wife": ("wives",),
    "wolf": ("wolves",),
    "woman": ("women",),
}
"""Nouns whose plural no rule gives."""

UNCHANGED: Final = frozenset(
    [
        "aircraft",
        "bison",
        "broccoli",
        "buffalo",
        "cattle",
        "deer",
        "fish",
        "fowl",
        "furniture",
        "glasses",
        "luggage",
        "peafowl",
        "people",
        "scissors",
        "sheep",
        "skis",
        "watercraft",
        "waterfowl",
    ]
)
"""Nouns that are their own plural, have none, or are plurals already."""

_ALSO_IN_S: Final = frozenset({"aircraft", "buffalo", "fish", "fowl", "sheep", "watercraft"})
"""Of these, the ones that models also write with a plural ending, rightly or not."""
_O_TAKES_ES: Final = frozenset({"potato", "tomato", "buffalo", "mosquito", "mango", "volcano"})
_ONE_Z: Final = frozenset({"quiz"})
_PLURALS: Final = {plural: noun for noun, plurals in IRREGULAR.items() for plural in plurals}
_MAN_IS_NOT_A_MAN: Final = frozenset({"human", "german", "roman", "talisman", "caiman", "ottoman"})


def _of_word(word: str) -> tuple[str, ...]:
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in _PLURALS:
        return ()
    if word in UNCHANGED and word not in _ALSO_IN_S:
        return ()
    if word.endswith("man") and word not in _MAN_IS_NOT_A_MAN:
        return (word[:-3] + "men",)
    if word in _ONE_Z:
        return (word + "zes",)
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return (word + "es",)
    if word.endswith("y") and word[-2:-1] not in ("a", "e", "i", "o", "u", ""):
        return (word[:-1] + "ies",)
    if word in _O_TAKES_ES:
        return (word + "es",)
    return (word + "s",)


def plurals(noun: str) -> tuple[str, ...]:
    """The plural forms of a lower-case singular noun; of a phrase, those of its last word.

    Returns an empty tuple for a noun that is its own plural or that is a plural already.
    """
    head, space, last = noun.rpartition(" ")
    return tuple(head + space + plural for plural in _of_word(last))


def irregular_singular(word: str) -> str | None:
    """The singular of an irregular plural ("women"), or ``None`` where ``word`` is not one."""
    if word in _PLURALS:
        return _PLURALS[word]
    if word.endswith("men") and len(word) > 4:
        singular = word[:-3] + "man"
        return singular if plurals(singular) == (word,) else None
    return None
