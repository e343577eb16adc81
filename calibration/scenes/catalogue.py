"""What the small world holds: its object types, its scene types and which belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Colour = tuple[int, int, int]

COLOURS: Final[Mapping[str, Colour]] = MappingProxyType(
    {
        "red": (206, 44, 40),
        "blue": (48, 92, 200),
        "green": (58, 148, 66),
        "yellow": (238, 206, 52),
        "orange": (236, 132, 36),
        "pink": (238, 140, 178),
        "purple": (128, 70, 164),
        "brown": (126, 82, 46),
        "white": (240, 240, 236),
        "gray": (138, 140, 144),
        "black": (34, 34, 40),
    }
)
"""The colour words of the captions and the colours they are drawn in, sRGB 0-255."""


@dataclass(frozen=True, slots=True)
class ObjectType:
    """One kind of object.

    Attributes:
        name: canonical name, singular, lower case.
        plural: its plural.
        synonyms: other (singular, plural) names that captions use.
        colours: names in :data:`COLOURS` it comes in.
        height: usual height as a share of the picture's, before perspective.
        aspect: width divided by height.
        place: ``floor`` stands on the ground, ``top`` on a surface at mid height, ``high`` hangs on
            the wall or in the air.
        many: chance that a scene which has it has two or three of it.
    """

    name: str
    plural: str
    colours: tuple[str, ...]
    height: float
    aspect: float
    place: Literal["floor", "top", "high"]
    many: float = 0.0
    synonyms: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Every (singular, plural) a caption may use, the canonical first."""
        return ((self.name, self.plural), *self.synonyms)


def _types() -> dict[str, ObjectType]:
    o = ObjectType
    listed = (
        o(
            "refrigerator",
            "refrigerators",
            ("white", "gray", "red"),
            0.46,
            0.52,
            "floor",
            synonyms=(("fridge", "fridges"),),
        ),
        o("oven", "ovens", ("black", "gray", "white"), 0.28, 1.0, "floor"),
        o("kettle", "kettles", ("red", "blue", "gray"), 0.17, 1.05, "top"),
        o("bowl", "bowls", ("white", "blue", "yellow"), 0.11, 1.8, "top", 0.2),
        o(
            "cup",
            "cups",
            ("white", "red", "green"),
            0.13,
            1.0,
            "top",
            0.3,
            synonyms=(("mug", "mugs"),),
        ),
        o("banana", "bananas", ("yellow", "green"), 0.12, 1.7, "top", 0.25),
        o("frying pan", "frying pans", ("black", "gray"), 0.10, 2.5, "top"),
        o("chair", "chairs", ("brown", "white", "red"), 0.30, 0.62, "floor", 0.3),
        o(
            "couch",
            "couches",
            ("blue", "gray", "green", "red"),
            0.27,
            2.1,
            "floor",
            synonyms=(("sofa", "sofas"),),
        ),
        o(
            "television",
            "televisions",
            ("black", "gray"),
            0.24,
            1.5,
            "high",
            synonyms=(("TV", "TVs"),),
        ),
        o("lamp", "lamps", ("yellow", "white", "orange"), 0.34, 0.5, "floor", 0.15),
        o("potted plant", "potted plants", ("green",), 0.26, 0.75, "floor", 0.2),
        o("cat", "cats", ("orange", "black", "gray", "white"), 0.17, 1.25, "floor", 0.12),
        o("clock", "clocks", ("white", "red", "brown"), 0.15, 1.0, "high"),
        o("painting", "paintings", ("brown", "yellow", "black"), 0.20, 1.3, "high", 0.2),
        o("bed", "beds", ("blue", "pink", "white", "purple"), 0.28, 2.0, "floor"),
        o("teddy bear", "teddy bears", ("brown", "pink", "white"), 0.20, 0.8, "floor", 0.12),
        o("laptop", "laptops", ("gray", "black"), 0.16, 1.35, "top"),
        o("keyboard", "keyboards", ("black", "white"), 0.08, 3.0, "top"),
        o("book", "books", ("red", "green", "blue", "purple"), 0.12, 1.2, "top", 0.4),
        o("car", "cars", ("red", "blue", "white", "black", "yellow"), 0.20, 2.0, "floor", 0.3),
        o("bus", "buses", ("red", "yellow", "blue", "green"), 0.32, 1.9, "floor"),
        o("traffic light", "traffic lights", ("yellow", "black"), 0.42, 0.28, "floor", 0.2),
        o("stop sign", "stop signs", ("red",), 0.34, 0.5, "floor"),
        o("fire hydrant", "fire hydrants", ("red", "yellow", "blue"), 0.18, 0.65, "floor"),
        o(
            "bicycle",
            "bicycles",
            ("red", "blue", "black", "green"),
            0.20,
            1.6,
            "floor",
            0.15,
            synonyms=(("bike", "bikes"),),
        ),
        o(
            "person",
            "people",
            ("red", "blue", "green", "purple", "white"),
            0.34,
            0.36,
            "floor",
            0.4,
        ),
        o("tree", "trees", ("green", "orange"), 0.48, 0.72, "floor", 0.3),
        o("bench", "benches", ("brown", "green", "gray"), 0.18, 1.9, "floor", 0.1),
        o("dog", "dogs", ("brown", "white", "black"), 0.18, 1.35, "floor", 0.12),
        o("bird", "birds", ("black", "blue", "white", "red"), 0.09, 1.6, "high", 0.4),
        o("kite", "kites", ("red", "yellow", "purple", "blue"), 0.20, 0.8, "high", 0.15),
        o("umbrella", "umbrellas", ("red", "yellow", "blue", "pink"), 0.34, 1.05, "floor", 0.25),
        o(
            "surfboard",
            "surfboards",
            ("yellow", "blue", "white", "orange"),
            0.34,
            0.28,
            "floor",
            0.15,
        ),
        o("boat", "boats", ("white", "red", "brown"), 0.22, 1.3, "floor", 0.15),
        o("beach ball", "beach balls", ("red", "blue", "yellow"), 0.12, 1.0, "floor"),
        o("palm tree", "palm trees", ("green",), 0.50, 0.7, "floor", 0.2),
        o("cow", "cows", ("white", "brown", "black"), 0.22, 1.5, "floor", 0.35),
        o("horse", "horses", ("brown", "black", "white"), 0.27, 1.2, "floor", 0.2),
        o("sheep", "sheep", ("white", "gray"), 0.16, 1.35, "floor", 0.4),
        o("barn", "barns", ("red", "brown"), 0.38, 1.2, "floor"),
        o("tractor", "tractors", ("green", "red", "yellow"), 0.24, 1.35, "floor"),
    )
    return {t.name: t for t in listed}


TYPES: Final[Mapping[str, ObjectType]] = MappingProxyType(_types())
"""Every object type by canonical name; the order is the category id in COCO files, from 1."""


@dataclass(frozen=True, slots=True)
class SceneType:
    """One kind of place.

    Attributes:
        name: as captions call it.
        indoors: which background it gets.
        usually_told: how many object types a detailed description usually names.
        typical: weight of each object type that belongs here.
        themes: groups that go together: a scene leans to one, tripling its weights.
    """

    name: str
    indoors: bool
    usually_told: int
    typical: Mapping[str, float]
    themes: tuple[tuple[str, ...], ...]


def _scenes() -> dict[str, SceneType]:
    s = SceneType
    listed = (
        s(
            "kitchen",
            True,
            5,
            {
                "refrigerator": 5,
                "oven": 5,
                "kettle": 4,
                "bowl": 4,
                "cup": 4,
                "banana": 3,
                "frying pan": 3,
                "chair": 3,
                "clock": 1,
                "potted plant": 1,
            },
            (("oven", "frying pan", "kettle"), ("bowl", "banana", "cup")),
        ),
        s(
            "living room",
            True,
            5,
            {
                "couch": 6,
                "television": 5,
                "lamp": 4,
                "potted plant": 3,
                "cat": 3,
                "painting": 3,
                "clock": 2,
                "book": 2,
                "chair": 2,
            },
            (("television", "couch", "lamp"), ("cat", "book", "potted plant")),
        ),
        s(
            "bedroom",
            True,
            4,
            {
                "bed": 7,
                "lamp": 4,
                "teddy bear": 4,
                "painting": 3,
                "clock": 2,
                "book": 3,
                "cat": 2,
                "chair": 1,
            },
            (("teddy bear", "book"), ("lamp", "painting", "clock")),
        ),
        s(
            "office",
            True,
            4,
            {
                "laptop": 6,
                "keyboard": 4,
                "chair": 5,
                "book": 4,
                "cup": 3,
                "lamp": 2,
                "clock": 3,
                "potted plant": 3,
            },
            (("laptop", "keyboard", "cup"), ("book", "clock", "potted plant")),
        ),
        s(
            "street",
            False,
            5,
            {
                "car": 6,
                "person": 5,
                "traffic light": 5,
                "bus": 3,
                "stop sign": 3,
                "fire hydrant": 3,
                "bicycle": 3,
                "tree": 2,
            },
            (("bus", "traffic light", "person"), ("fire hydrant", "stop sign", "bicycle")),
        ),
        s(
            "park",
            False,
            5,
            {"tree": 6, "bench": 5, "person": 4, "dog": 4, "bird": 3, "kite": 3, "bicycle": 3},
            (("kite", "person", "dog"), ("bench", "bird", "bicycle")),
        ),
        s(
            "beach",
            False,
            4,
            {
                "umbrella": 5,
                "person": 4,
                "surfboard": 4,
                "boat": 3,
                "beach ball": 3,
                "palm tree": 4,
                "bird": 2,
                "dog": 1,
                "kite": 1,
            },
            (("surfboard", "boat", "bird"), ("umbrella", "beach ball", "palm tree")),
        ),
        s(
            "farm",
            False,
            5,
            {
                "cow": 5,
                "horse": 4,
                "sheep": 4,
                "barn": 5,
                "tractor": 4,
                "tree": 3,
                "dog": 2,
                "person": 2,
                "bird": 1,
            },
            (("cow", "sheep", "dog"), ("barn", "tractor", "horse")),
        ),
    )
    return {t.name: t for t in listed}


SCENES: Final[Mapping[str, SceneType]] = MappingProxyType(_scenes())
"""Every scene type by name."""
