"""Scenes: which objects there are, where, how large and how well they can be seen.

A scene is a pure function of its seed. Nothing here knows of captions or models.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from .catalogue import COLOURS, SCENES, TYPES, Colour, ObjectType, SceneType

MAX_TYPES = 7
"""Most object types in one scene."""

_TYPE_COUNTS = {2: 0.13, 3: 0.20, 4: 0.24, 5: 0.20, 6: 0.14, 7: 0.09}
_OFF_PRIOR = 0.10
_FAINT = 0.11
_CONTRAST = (0.2, 0.45)
_SIZE = (0.33, 1.35)
_NOISE = (3.0, 15.0)
_SPOTS = 3
_SHADE = 16


@dataclass(frozen=True, slots=True)
class Placed:
    """One object in a scene.

    Attributes:
        type: canonical name.
        colour: name in :data:`~.catalogue.COLOURS`.
        paint: its own shade of it, sRGB 0-255.
        box: left, top, right, bottom as shares of the picture's side; may reach outside.
        flipped: mirrored left to right.
        contrast: 1 for a solid object, less for a faint one that the background shines through.
    """

    type: str
    colour: str
    paint: Colour
    box: tuple[float, float, float, float]
    flipped: bool
    contrast: float


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene, back to front.

    Attributes:
        seed: what it was made from.
        kind: name in :data:`~.catalogue.SCENES`.
        horizon: height of the line between wall and floor (or sky and ground), a share from above.
        noise: standard deviation of the sensor noise, in units of 0-255.
        objects: in drawing order; later ones hide earlier ones.
    """

    seed: int
    kind: str
    horizon: float
    noise: float
    objects: tuple[Placed, ...]


@functools.cache
def weights(kind: str, theme: int) -> np.ndarray:
    """Weight of each of :data:`~.catalogue.TYPES` in a scene type that leans to ``theme``."""
    scene = SCENES[kind]
    leaning = scene.themes[theme]
    return np.array(
        [scene.typical.get(name, 0.0) * (3.0 if name in leaning else 1.0) for name in TYPES]
    )


def sample_scene(seed: int) -> Scene:
    """The scene of a seed: a place, a theme, 2 to 7 object types that mostly belong there."""
    rng = np.random.default_rng(seed)
    names = list(SCENES)
    kind = SCENES[names[int(rng.integers(len(names)))]]
    horizon = float(rng.uniform(0.42, 0.56))
    count = int(rng.choice(list(_TYPE_COUNTS), p=list(_TYPE_COUNTS.values())))
    placed: list[Placed] = []
    for kept in _choose_types(rng, kind, count):
        many = int(rng.integers(2, 4)) if rng.random() < kept.many else 1
        size = float(np.exp(rng.uniform(*np.log(_SIZE))))
        colour = str(rng.choice(kept.colours))
        faint = float(rng.uniform(*_CONTRAST)) if rng.random() < _FAINT else 1.0
        placed.extend(
            _place(rng, kept, colour, size * (0.85 if many > 1 else 1.0), faint, horizon, placed)
            for _ in range(many)
        )
    back_to_front = sorted(placed, key=lambda p: (TYPES[p.type].place != "high", p.box[3]))
    return Scene(seed, kind.name, horizon, float(rng.uniform(*_NOISE)), tuple(back_to_front))


def _choose_types(rng: np.random.Generator, kind: SceneType, count: int) -> list[ObjectType]:
    p = weights(kind.name, int(rng.integers(len(kind.themes)))).copy()
    every = list(TYPES.values())
    chosen: list[ObjectType] = []
    while len(chosen) < count:
        if rng.random() < _OFF_PRIOR:
            pick = int(rng.integers(len(every)))
        else:
            pick = int(rng.choice(len(every), p=p / p.sum()))
        if every[pick] not in chosen:
            chosen.append(every[pick])
            p[pick] = 0.0
    return chosen


def _place(
    rng: np.random.Generator,
    kind: ObjectType,
    colour: str,
    size: float,
    contrast: float,
    horizon: float,
    others: list[Placed],
) -> Placed:
    """Try a few spots and keep the one that hides and is hidden least; crowding still occludes."""
    best: tuple[float, tuple[float, float, float, float]] | None = None
    for _ in range(_SPOTS):
        if kind.place == "high":
            middle = rng.uniform(0.12, horizon - 0.08)
            height = kind.height * size
            bottom = middle + height / 2
        else:
            low = horizon + (0.06 if kind.place == "floor" else 0.02)
            bottom = rng.uniform(low, 0.97 if kind.place == "floor" else 0.9)
            near = (bottom - horizon) / (1.0 - horizon)
            height = kind.height * size * (0.75 + 0.45 * near)
        width = height * kind.aspect
        centre = rng.uniform(min(0.4, width * 0.45), max(0.6, 1 - width * 0.45))
        box = (
            float(centre - width / 2),
            float(bottom - height),
            float(centre + width / 2),
            float(bottom),
        )
        overlap = sum(_overlap(box, other.box) for other in others)
        if best is None or overlap < best[0]:
            best = (overlap, box)
        if overlap < 0.15:
            break
    assert best is not None
    shade = rng.integers(-_SHADE, _SHADE + 1, size=3)
    red, green, blue = (
        int(np.clip(c + s, 0, 255)) for c, s in zip(COLOURS[colour], shade, strict=True)
    )
    return Placed(
        kind.name, colour, (red, green, blue), best[1], bool(rng.random() < 0.5), contrast
    )


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Shared area of two boxes as a share of the smaller one."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return wide * high / smaller
