"""Captions as language models write them for training: true at first, then merely likely.

The writer sees what an annotator sees. It names the visible objects in noisy order of salience,
small and faint ones less often; when they run out it may go on with objects that are typical of
the place but absent, the less likely the more it has already said. Most of those come late, some
early, and the sentences around true and invented objects are drawn from the same templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .catalogue import SCENES, TYPES
from .render import SIDE, Picture, Seen
from .world import weights

DETAILED: Final = (
    "Please help me describe the image in detail.",
    "Describe this image in detail.",
    "Write a detailed description of the picture.",
    "What can you see in this image? Describe everything.",
)
"""Prompts that ask for a full description; the first is the paper's."""

BRIEF: Final = (
    "Describe the image briefly.",
    "Give a short caption of this image.",
    "Describe the picture in one sentence.",
)
"""Prompts that ask for one sentence."""

MOST_TOLD: Final = 8
"""No caption names more object types than this."""

_MOVED_EARLIER = 0.3
_SALIENCE_NOISE = 0.6
_STEADINESS = 0.8


@dataclass(frozen=True, slots=True)
class Thing:
    """One object type as a caption may tell of it.

    Attributes:
        type: canonical name.
        count: how many, at least 1.
        colour: its colour word.
        where: a phrase such as ``on the left``.
        area: share of the picture it covers.
        contrast: as in :class:`~.world.Placed`.
    """

    type: str
    count: int
    colour: str
    where: str
    area: float
    contrast: float


@dataclass(frozen=True, slots=True)
class Subject:
    """All that a caption writer needs of one picture: small enough to keep by the thousand."""

    kind: str
    things: tuple[Thing, ...]


def subject(picture: Picture) -> Subject:
    """What there is to say about a picture: its annotated objects, by type, largest first."""
    groups: dict[str, list[Seen]] = {}
    for seen in picture.annotated:
        groups.setdefault(seen.object.type, []).append(seen)
    things = [_thing(members, picture.scene.horizon) for members in groups.values()]
    return Subject(picture.scene.kind, tuple(sorted(things, key=lambda t: -t.area)))


def _thing(members: list[Seen], horizon: float) -> Thing:
    largest = max(members, key=lambda s: s.pixels)
    left, _, right, bottom = (edge / SIDE for edge in largest.box)
    middle = (left + right) / 2
    if middle < 0.36:
        where = "on the left"
    elif middle > 0.64:
        where = "on the right"
    elif bottom < horizon + 0.12:
        where = "in the background"
    elif bottom > 0.86:
        where = "in the foreground"
    else:
        where = "in the middle"
    return Thing(
        largest.object.type,
        len(members),
        largest.object.colour,
        where,
        sum(s.pixels for s in members) / SIDE**2,
        max(s.object.contrast for s in members),
    )


_WHERE = ("on the left", "on the right", "in the background", "in the foreground", "in the middle")


def plan(about: Subject, rng: np.random.Generator) -> tuple[list[Thing], int]:
    """What a detailed caption will name, in order, and how many of it are absent objects."""
    noticed = [t for t in about.things if rng.random() < _notice(t)]
    noticed.sort(key=lambda t: -(np.log(t.area * t.contrast) + rng.normal(0, _SALIENCE_NOISE)))
    named = {t.type for t in about.things}
    invented: list[Thing] = []
    while rng.random() < goes_on(about.kind, len(noticed) + len(invented)):
        extra = _invent(about.kind, named, rng)
        if extra is None:
            break
        named.add(extra.type)
        invented.append(extra)
    told = list(noticed)
    for extra in invented:
        early = len(told) > 1 and rng.random() < _MOVED_EARLIER
        told.insert(int(rng.integers(1, len(told))) if early else len(told), extra)
    return told, len(invented)


def goes_on(kind: str, told: int) -> float:
    """Chance that a caption goes on with an absent object once it has named ``told`` others.

    It falls from near 1 to near 0 around the number of objects that one usually tells of there.
    """
    if told >= MOST_TOLD:
        return 0.0
    return float(1 / (1 + np.exp((told + 0.5 - SCENES[kind].usually_told) / _STEADINESS)))


def _notice(thing: Thing) -> float:
    """Chance that the writer mentions a visible object: grows with area, less if faint."""
    chance = 0.985 - 0.30 * float(np.exp(-thing.area / 0.006))
    return chance * (0.9 if thing.contrast < 1.0 else 1.0)


def _invent(kind: str, named: set[str], rng: np.random.Generator) -> Thing | None:
    """An absent object that belongs to the place, likelier if it goes with what was named."""
    themes = SCENES[kind].themes
    leaning = max(range(len(themes)), key=lambda i: len(named.intersection(themes[i])))
    names = list(TYPES)
    p = weights(kind, leaning) * [name not in named for name in names]
    if not p.any():
        return None
    chosen = TYPES[names[int(rng.choice(len(names), p=p / p.sum()))]]
    count = int(rng.integers(2, 4)) if rng.random() < chosen.many else 1
    return Thing(chosen.name, count, str(rng.choice(chosen.colours)), str(rng.choice(_WHERE)), 0, 1)


def write_detailed(about: Subject, rng: np.random.Generator) -> str:
    """A caption of several sentences."""
    told, _ = plan(about, rng)
    writer = _Writer(rng)
    first = told[: int(rng.integers(1, 3))]
    opening = writer.one_of(
        "The image shows", "The image features", "The picture shows", "This scene shows"
    )
    sentences = [f"{opening} {_a(about.kind)} with {writer.listed(first)}."]
    rest = told[len(first) :]
    while rest:
        take = 2 if len(rest) > 1 and rng.random() < 0.4 else 1
        sentences.append(writer.sentence(rest[:take]))
        rest = rest[take:]
    if rng.random() < 0.3:
        mood = writer.one_of("calm", "lively", "peaceful", "quiet")
        sentences.append(f"The overall atmosphere of the scene is {mood}.")
    return " ".join(sentences)


def write_brief(about: Subject, rng: np.random.Generator) -> str:
    """One sentence on the most salient objects, all of them there."""
    told = sorted(about.things, key=lambda t: -(t.area * t.contrast * np.exp(rng.normal(0, 0.3))))
    writer = _Writer(rng)
    listed = writer.listed(told[: int(rng.integers(1, 4))])
    if not listed:
        return f"{_a(about.kind).capitalize()}."
    if rng.random() < 0.5:
        return f"{_a(about.kind).capitalize()} with {listed}."
    return f"{_upper(listed)} {_place(about.kind)}."


class _Writer:
    """Turns things into sentences; remembers what it has named so that it can refer back."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._said: list[str] = []

    def one_of(self, *choices: str) -> str:
        return choices[int(self._rng.integers(len(choices)))]

    def listed(self, things: list[Thing]) -> str:
        names = [self._name(t) for t in things]
        return (
            names[0]
            if len(names) == 1
            else f"{', '.join(names[:-1])} and {names[-1]}"
            if names
            else ""
        )

    def sentence(self, things: list[Thing]) -> str:
        back = self._said[int(self._rng.integers(len(self._said)))] if self._said else None
        where = things[0].where
        names = self.listed(things)
        plural = len(things) > 1 or things[0].count > 1
        is_, there = ("are", "There are") if plural else ("is", "There is")
        forms = [
            f"{there} {names} {where}.",
            f"{there} also {names} {where}.",
            f"{_upper(names)} can be seen {where}.",
            f"{_upper(names)} {is_} visible {where}.",
            f"{_upper(where)}, there {is_} {names}.",
            f"Additionally, there {is_} {names} in the scene.",
        ]
        if back is not None:
            forms += [
                f"Near the {back}, there {is_} {names}.",
                f"{_upper(names)} {is_} next to the {back}.",
            ]
        return self.one_of(*forms)

    def _name(self, thing: Thing) -> str:
        kind = TYPES[thing.type]
        usual = self._rng.random() < 0.75
        singular, plural = kind.names[0] if usual or len(kind.names) == 1 else kind.names[1]
        coloured = f"{thing.colour} " if self._rng.random() < 0.4 else ""
        self._said.append(plural if thing.count > 1 else singular)
        if thing.count == 1:
            return _a(coloured + singular)
        number = ("two", "three")[min(thing.count, 3) - 2]
        return f"{number if self._rng.random() < 0.7 else 'several'} {coloured}{plural}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _place(kind: str) -> str:
    return f"{'in' if SCENES[kind].indoors or kind == 'park' else 'on'} {_a(kind)}"
