"""Captions as the official CHAIR script reads them, quirks included.

The script (LisaAnne/Hallucination, in the form that OPERA and most papers since use: NLTK's
``word_tokenize``, ``pos_tag`` and ``WordNetLemmatizer``) needs three data packages that cannot be
shipped. Where they are installed they can be used (:mod:`.nltklemmas`); otherwise what they do to
the words that CHAIR counts is reproduced by rule (:mod:`.lemmas`). The script's quirks:

- words are lower-cased and lemmatised by part of speech, so participles count: a "seated" man is
  a chair, "skiing" is skis, a boat "tied" to the dock wears a tie;
- "men" is nobody, "vases" are "vas", a "smartphones" that WordNet does not list stays a plural;
- of two-word objects only fixed pairs count, hyphens join words ("hot-dog" is none), "motor bike",
  "cheesecake" and "iPhone" never match for the way the synonyms are split and cased, and a "sports
  ball" is a "ball", for the lemma of "sports" is "sport";
- in a caption with a "toilet", every "seat" is dropped;
- the mentions of a caption are counted with repetitions, and its length counts punctuation.

Agreement with the script's own results is measured in ``tests/calibration/test_official.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

from ...monitor.language.lexicon import Lexicon
from .chair import Labelled
from .lemmas import BuiltIn, Lemmas


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PAIRS: Final = _words(
    "air_plane baseball_bat baseball_glove cell_phone fire_hydrant hair_drier home_plate "
    "hot_dog laptop_computer mobile_phone motor_bike motor_cycle parking_meter potted_plant "
    "stop_light stop_sign street_light suit_case teddy_bear tennis_racket traffic_light "
    "traffic_signal train_track wine_glass"
)
_ANIMALS: Final = _words("animal bear bird cat cow cub dog elephant giraffe horse sheep zebra")
_RENAMED: Final = {
    **{f"{age} {animal}": animal for age in ("baby", "adult") for animal in _ANIMALS},
    "passenger jet": "jet",
    "passenger train": "train",
    "bow tie": "tie",
    "toilet seat": "toilet",
}
_NEVER: Final = frozenset({"cheesecake", "iphone", "motor bike", "remote control", "toilet seat"})


@dataclass(frozen=True, slots=True)
class OfficialReading:
    """What the script sees in a caption.

    Attributes:
        mentions: each object mention, in order: the word it goes by and the canonical name.
        words: all words and punctuation marks, lemmatised, two-word objects as one.
        places: of each mention, the script's index of it: into the words before two-word objects
            become one, and one too early for every "seat" dropped before it.
    """

    mentions: tuple[tuple[str, str], ...]
    words: tuple[str, ...]
    places: tuple[int, ...]


def read_officially(caption: str, *, lemmas: Lemmas | None = None) -> OfficialReading:
    """The object mentions of a caption as the official script finds them.

    Args:
        caption: the text.
        lemmas: how it is read: :func:`built_in`, the default, or the script's own
            :class:`.nltklemmas.NltkLemmas`.
    """
    names, pairs = _names(), _pairs()
    read = built_in() if lemmas is None else lemmas
    words: list[str] = []
    starts: list[int] = []
    skip = False
    for start, (first, second) in enumerate(pairwise([*read(caption), ""])):
        if skip:
            skip = False
            continue
        pair = pairs.get(f"{first} {second}")
        words.append(first if pair is None else pair)
        starts.append(start)
        skip = pair is not None
    if "toilet" in words:
        words = [word for word in words if word != "seat"]
    # Dropped seats keep their starts, as in the script: later places are too early.
    named = [(word, start) for word, start in zip(words, starts, strict=False) if word in names]
    return OfficialReading(
        mentions=tuple((word, names[word]) for word, _ in named),
        words=tuple(words),
        places=tuple(start for _, start in named),
    )


def label_officially(
    text: str,
    truth: frozenset[str],
    *,
    ended: bool | None = True,
    lemmas: Lemmas | None = None,
) -> Labelled:
    """Hold a caption against the truth as the official script does.

    The script's own truth also holds objects that people's captions of the image name; here it is
    what the annotations say.

    Args:
        text: the caption.
        truth: canonical COCO names of the objects in the image.
        ended: whether the caption came to an end by itself, if that is known.
        lemmas: see :func:`read_officially`.
    """
    read = read_officially(text, lemmas=lemmas)
    return Labelled(tuple(name for _, name in read.mentions), truth, read.words, ended)


@cache
def _names() -> dict[str, str]:
    """The script's names -> canonical: the lexicon without the inflected forms that it adds."""
    coco = Lexicon.load("coco")
    singular = {form: name for form, name in coco.forms.items() if form not in coco.lemmas}
    listed = {name: coco.forms[name] for name in ("children", "oxen", "people", "skis")}
    return {form: name for form, name in (singular | listed).items() if form not in _NEVER}


@cache
def _pairs() -> dict[str, str]:
    """Two words -> the word that they are replaced with."""
    return {**{pair: pair for pair in (p.replace("_", " ") for p in _PAIRS)}, **_RENAMED}


@cache
def built_in() -> BuiltIn:
    """The reading that needs no data, for all names and the words of all pairs."""
    words = {name for name in _names() if " " not in name}
    words |= {word for pair in _pairs() for word in pair.split()}
    words.remove("skis")  # a name, and a plural all the same
    return BuiltIn(frozenset(words))
