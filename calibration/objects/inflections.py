"""What WordNet's lemmatiser, as NLTK 3.10 uses it, makes of the words that CHAIR knows.

The official CHAIR script lemmatises every word by its part of speech, and what it counts depends
on the lemmatiser's oddities as much as on the list of synonyms. Only words that lead to one of
CHAIR's names are covered here; all facts are about WordNet 3.0: which names it lists, and how a
lemma is chosen (each ending rule applied once, the shortest listed candidate taken).
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NOUN_ENDINGS: Final = (
    ("s", ""),
    ("ses", "s"),
    ("ves", "f"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)
_VERB_ENDINGS: Final = (("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""))

_DOUBLED: Final = tuple(
    (letter * 2 + ending, letter) for letter in "bdgmnprt" for ending in ("ed", "ing")
)

_IRREGULAR_NOUNS: Final = {
    "buses": "bus",
    "busses": "bus",
    "calves": "calf",
    "children": "child",
    "geese": "geese",  # an adjective to the tagger, as "Chinese" is, and so never lemmatised
    "grandchildren": "grandchild",
    "knives": "knife",
    "men": "men",  # WordNet lists "men" itself (work force), as short as "man"
    "mice": "mouse",
    "minibuses": "minibus",
    "oxen": "ox",
    "pocketknives": "pocketknife",
    "thieves": "thief",
    "vases": "vas",  # listed (vas deferens), and shorter than "vase"
}
_IRREGULAR_VERBS: Final = {
    "born": "bear",
    "borne": "bear",
    "bused": "bus",
    "busing": "bus",
    "bussed": "bus",
    "bussing": "bus",
    "moped": "mope",
    "parking": "park",
    "potted": "pot",
    "sank": "sink",
    "skied": "ski",
    "skiing": "ski",
    "sunk": "sink",
    "taxiing": "taxi",
    "tying": "tie",
}
_NOT_LISTED: Final = _words(
    "bluejay coworker firetruck hairdryer knive lenovo longboard macbook netbook phon "
    "pitbull shortboard skimboard smartphone solider stovetop teddybear televison wakeboard"
)
"""Names of CHAIR that WordNet does not list, so that their plurals stay as they are."""

_VERBS: Final = _words(
    "baby backpack ball barge bear bed bench bicycle bike boat book bottle bow bowl buffalo bull "
    "bulldog bus cab cake canoe cat chair clock cop couch cow crow cup doctor dog duck father "
    "ferry foal fork fowl goose groom gull guy horse hound jet kayak keyboard kid kite knife "
    "lamb man microwave monitor mother motorbike motorboat motorcycle mouse officer parrot "
    "people phone pony pup purse quail ram raven sandwich seat ship sink skateboard "
    "ski snowboard soldier spoon stool sub surfboard swan table taxi telephone tie train truck "
    "yacht"
)
"""Names of CHAIR that WordNet lists as verbs.

Not "plane": "planed" and "planing" are forms of "plan" too, which is shorter.
"""


def plurals_of(names: Set[str]) -> dict[str, str]:
    """Plural -> noun lemma, of all forms that come from one of ``names`` or look like it."""
    return {**_inflected(names - _NOT_LISTED, _NOUN_ENDINGS), **_IRREGULAR_NOUNS}


def participles_of(names: Set[str]) -> dict[str, str]:
    """Participle or past tense -> verb lemma, of all forms that come from one of ``names``.

    "moped", "parking" and "potted", names or parts of names themselves, are forms of other verbs.
    """
    return {**_inflected(names & _VERBS, (*_VERB_ENDINGS, *_DOUBLED)), **_IRREGULAR_VERBS}


def _inflected(names: Set[str], endings: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The endings undone: form -> the shortest name it may come from."""
    found: dict[str, str] = {}
    for inflected, ending in endings:
        for name in sorted(names):
            if name.endswith(ending):
                form = name.removesuffix(ending) + inflected
                if form not in names and len(name) < len(found.get(form, name + form)):
                    found[form] = name
    return found
