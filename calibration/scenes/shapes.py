"""How each object type is drawn: a few filled shapes in a unit square, y pointing down.

A paint is a colour of :data:`~.catalogue.COLOURS`, or ``main`` (the object's own colour), ``dark``
or ``light`` (the same, shaded).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Shape:
    """One filled shape. ``at`` holds x, y pairs in the unit square; a line also has a width."""

    kind: Literal["box", "oval", "polygon", "line"]
    paint: str
    at: tuple[float, ...]
    width: float = 0.0


def _box(paint: str, *at: float) -> Shape:
    return Shape("box", paint, at)


def _oval(paint: str, *at: float) -> Shape:
    return Shape("oval", paint, at)


def _poly(paint: str, *at: float) -> Shape:
    return Shape("polygon", paint, at)


def _line(paint: str, width: float, *at: float) -> Shape:
    return Shape("line", paint, at, width)


def _legs(paint: str, *xs: float, top: float = 0.6, wide: float = 0.08) -> tuple[Shape, ...]:
    return tuple(_box(paint, x, top, x + wide, 1) for x in xs)


SHAPES: Final[Mapping[str, tuple[Shape, ...]]] = MappingProxyType(
    {
        "refrigerator": (
            _box("main", 0, 0, 1, 1),
            _box("dark", 0, 0.36, 1, 0.4),
            _box("dark", 0.8, 0.1, 0.88, 0.3),
            _box("dark", 0.8, 0.46, 0.88, 0.75),
        ),
        "oven": (
            _box("main", 0, 0, 1, 1),
            _box("dark", 0.1, 0.35, 0.9, 0.9),
            _box("orange", 0.18, 0.45, 0.82, 0.8),
            _oval("light", 0.1, 0.08, 0.24, 0.24),
            _oval("light", 0.42, 0.08, 0.56, 0.24),
            _oval("light", 0.74, 0.08, 0.88, 0.24),
        ),
        "kettle": (
            _line("black", 0.09, 0.25, 0.35, 0.3, 0.08, 0.62, 0.08, 0.68, 0.35),
            _poly("main", 0.2, 0.3, 0.72, 0.3, 0.86, 1, 0.08, 1),
            _poly("main", 0.76, 0.5, 1, 0.3, 1, 0.42, 0.8, 0.72),
            _box("dark", 0.36, 0.22, 0.56, 0.3),
        ),
        "bowl": (
            _poly("main", 0, 0.1, 1, 0.1, 0.75, 1, 0.25, 1),
            _oval("dark", 0, 0, 1, 0.32),
            _oval("light", 0.2, 0.02, 0.8, 0.24),
        ),
        "cup": (
            _line("main", 0.1, 0.62, 0.25, 0.95, 0.25, 0.95, 0.65, 0.62, 0.65),
            _poly("main", 0.05, 0, 0.7, 0, 0.62, 1, 0.13, 1),
            _oval("dark", 0.05, 0, 0.7, 0.2),
        ),
        "banana": (
            _poly(
                "main",
                0,
                0.2,
                0.12,
                0.1,
                0.3,
                0.5,
                0.55,
                0.62,
                0.85,
                0.4,
                1,
                0.1,
                0.98,
                0.6,
                0.7,
                0.98,
                0.4,
                0.98,
                0.12,
                0.7,
            ),
            _box("brown", 0, 0.02, 0.1, 0.24),
        ),
        "frying pan": (
            _box("brown", 0.55, 0.1, 1, 0.35),
            _poly("main", 0, 0.1, 0.62, 0.1, 0.54, 1, 0.08, 1),
            _oval("dark", 0, 0, 0.62, 0.4),
        ),
        "chair": (
            _box("main", 0, 0, 0.14, 1),
            _box("main", 0.1, 0.08, 0.55, 0.16),
            _box("main", 0.1, 0.28, 0.55, 0.36),
            _box("main", 0, 0.5, 1, 0.62),
            _box("dark", 0.86, 0.6, 1, 1),
            _box("dark", 0.44, 0.6, 0.54, 0.92),
        ),
        "couch": (
            _box("main", 0.08, 0, 0.92, 0.6),
            _box("dark", 0.08, 0.5, 0.92, 0.84),
            _box("main", 0, 0.3, 0.14, 0.9),
            _box("main", 0.86, 0.3, 1, 0.9),
            _box("black", 0.06, 0.9, 0.14, 1),
            _box("black", 0.86, 0.9, 0.94, 1),
            _line("dark", 0.02, 0.5, 0.05, 0.5, 0.8),
        ),
        "television": (
            _box("main", 0, 0, 1, 0.84),
            _box("blue", 0.06, 0.07, 0.94, 0.76),
            _poly("white", 0.2, 0.1, 0.42, 0.1, 0.2, 0.6),
            _box("main", 0.3, 0.84, 0.7, 1),
        ),
        "lamp": (
            _box("black", 0.45, 0.3, 0.55, 0.95),
            _box("black", 0.22, 0.94, 0.78, 1),
            _poly("main", 0.25, 0, 0.75, 0, 1, 0.36, 0, 0.36),
            _box("light", 0.3, 0.1, 0.7, 0.2),
        ),
        "potted plant": (
            _oval("main", 0, 0.1, 0.5, 0.45),
            _oval("main", 0.5, 0.05, 1, 0.45),
            _oval("dark", 0.25, 0, 0.75, 0.65),
            _oval("main", 0.1, 0.35, 0.9, 0.68),
            _poly("orange", 0.2, 0.64, 0.8, 0.64, 0.7, 1, 0.3, 1),
        ),
        "cat": (
            _line("main", 0.07, 0.1, 0.75, 0.02, 0.3, 0.1, 0.05),
            _oval("main", 0.08, 0.4, 0.75, 0.9),
            *_legs("main", 0.16, 0.32, 0.55, 0.66, top=0.75),
            _oval("main", 0.58, 0.15, 1, 0.58),
            _poly("main", 0.6, 0.25, 0.64, 0, 0.78, 0.2),
            _poly("main", 0.8, 0.2, 0.94, 0, 0.98, 0.28),
            _oval("green", 0.7, 0.3, 0.77, 0.4),
            _oval("green", 0.85, 0.3, 0.92, 0.4),
        ),
        "clock": (
            _oval("dark", 0, 0, 1, 1),
            _oval("main", 0.08, 0.08, 0.92, 0.92),
            _oval("white", 0.16, 0.16, 0.84, 0.84),
            _line("black", 0.07, 0.5, 0.5, 0.5, 0.2),
            _line("black", 0.07, 0.5, 0.5, 0.72, 0.58),
        ),
        "painting": (
            _box("main", 0, 0, 1, 1),
            _box("blue", 0.1, 0.12, 0.9, 0.6),
            _box("green", 0.1, 0.58, 0.9, 0.88),
            _oval("yellow", 0.6, 0.2, 0.78, 0.42),
            _poly("gray", 0.15, 0.6, 0.35, 0.25, 0.55, 0.6),
        ),
        "bed": (
            _box("brown", 0, 0, 0.07, 1),
            _box("brown", 0.93, 0.4, 1, 1),
            _box("main", 0.05, 0.5, 0.95, 0.85),
            _box("light", 0.08, 0.32, 0.32, 0.54),
            _box("dark", 0.4, 0.46, 0.95, 0.85),
            _box("brown", 0.05, 0.82, 0.95, 0.9),
        ),
        "teddy bear": (
            _oval("main", 0.12, 0, 0.38, 0.22),
            _oval("main", 0.62, 0, 0.88, 0.22),
            _oval("main", 0.15, 0.4, 0.85, 0.95),
            _oval("main", 0.2, 0.04, 0.8, 0.5),
            _oval("main", 0, 0.42, 0.28, 0.7),
            _oval("main", 0.72, 0.42, 1, 0.7),
            _oval("dark", 0.1, 0.78, 0.42, 1),
            _oval("dark", 0.58, 0.78, 0.9, 1),
            _oval("light", 0.36, 0.26, 0.64, 0.46),
            _oval("black", 0.32, 0.16, 0.4, 0.25),
            _oval("black", 0.6, 0.16, 0.68, 0.25),
            _oval("black", 0.46, 0.28, 0.54, 0.34),
        ),
        "laptop": (
            _box("main", 0.12, 0, 0.88, 0.7),
            _box("blue", 0.18, 0.07, 0.82, 0.62),
            _poly("light", 0.12, 0.72, 0.88, 0.72, 1, 1, 0, 1),
            _box("dark", 0.36, 0.86, 0.64, 0.96),
        ),
        "keyboard": (
            _box("main", 0, 0, 1, 1),
            _box("gray", 0.05, 0.14, 0.95, 0.3),
            _box("gray", 0.05, 0.42, 0.95, 0.58),
            _box("gray", 0.2, 0.7, 0.8, 0.86),
            _line("main", 0.02, 0.3, 0, 0.3, 0.62),
            _line("main", 0.02, 0.6, 0, 0.6, 0.62),
        ),
        "book": (
            _poly("main", 0, 0.1, 0.48, 0, 0.48, 0.9, 0, 1),
            _poly("main", 1, 0.1, 0.52, 0, 0.52, 0.9, 1, 1),
            _poly("white", 0.08, 0.2, 0.46, 0.12, 0.46, 0.8, 0.08, 0.88),
            _poly("white", 0.92, 0.2, 0.54, 0.12, 0.54, 0.8, 0.92, 0.88),
            _line("gray", 0.03, 0.14, 0.45, 0.4, 0.4),
            _line("gray", 0.03, 0.6, 0.4, 0.86, 0.45),
        ),
        "car": (
            _poly("main", 0.2, 0.35, 0.34, 0, 0.7, 0, 0.86, 0.35),
            _box("main", 0, 0.33, 1, 0.8),
            _poly("white", 0.28, 0.33, 0.37, 0.08, 0.5, 0.08, 0.5, 0.33),
            _poly("white", 0.54, 0.33, 0.54, 0.08, 0.67, 0.08, 0.78, 0.33),
            _oval("black", 0.1, 0.6, 0.32, 1),
            _oval("black", 0.68, 0.6, 0.9, 1),
            _oval("gray", 0.16, 0.71, 0.26, 0.89),
            _oval("gray", 0.74, 0.71, 0.84, 0.89),
            _box("yellow", 0.94, 0.42, 1, 0.54),
        ),
        "bus": (
            _box("main", 0, 0, 1, 0.86),
            _box("white", 0.05, 0.14, 0.22, 0.44),
            _box("white", 0.27, 0.14, 0.44, 0.44),
            _box("white", 0.49, 0.14, 0.66, 0.44),
            _box("black", 0.72, 0.14, 0.86, 0.84),
            _box("white", 0.9, 0.14, 0.98, 0.44),
            _oval("black", 0.1, 0.68, 0.28, 1),
            _oval("black", 0.74, 0.68, 0.92, 1),
            _box("dark", 0, 0.54, 0.7, 0.6),
        ),
        "traffic light": (
            _box("gray", 0.42, 0.4, 0.58, 1),
            _box("main", 0.08, 0, 0.92, 0.56),
            _oval("red", 0.26, 0.03, 0.74, 0.18),
            _oval("orange", 0.26, 0.2, 0.74, 0.36),
            _oval("green", 0.26, 0.38, 0.74, 0.53),
        ),
        "stop sign": (
            _box("gray", 0.45, 0.4, 0.55, 1),
            _poly(
                "white", 0.3, 0, 0.7, 0, 1, 0.15, 1, 0.36, 0.7, 0.52, 0.3, 0.52, 0, 0.36, 0, 0.15
            ),
            _poly(
                "main",
                0.32,
                0.03,
                0.68,
                0.03,
                0.94,
                0.17,
                0.94,
                0.35,
                0.68,
                0.49,
                0.32,
                0.49,
                0.06,
                0.35,
                0.06,
                0.17,
            ),
            _box("white", 0.18, 0.22, 0.82, 0.31),
        ),
        "fire hydrant": (
            _box("main", 0.25, 0.2, 0.75, 0.95),
            _oval("main", 0.25, 0, 0.75, 0.4),
            _box("main", 0, 0.4, 1, 0.6),
            _box("dark", 0.1, 0.88, 0.9, 1),
            _oval("light", 0.36, 0.38, 0.64, 0.62),
            _box("dark", 0.2, 0.22, 0.8, 0.28),
        ),
        "bicycle": (
            _oval("black", 0, 0.4, 0.42, 1),
            _oval("light", 0.06, 0.49, 0.36, 0.91),
            _oval("black", 0.58, 0.4, 1, 1),
            _oval("light", 0.64, 0.49, 0.94, 0.91),
            _line("main", 0.06, 0.21, 0.7, 0.36, 0.3, 0.7, 0.3, 0.5, 0.7, 0.21, 0.7),
            _line("main", 0.06, 0.79, 0.7, 0.68, 0.1, 0.58, 0.06),
            _line("main", 0.06, 0.5, 0.7, 0.34, 0.2),
            _box("black", 0.26, 0.13, 0.44, 0.21),
        ),
        "person": (
            _oval("brown", 0.28, 0, 0.72, 0.2),
            _oval("pink", 0.3, 0.05, 0.7, 0.23),
            _box("main", 0.2, 0.22, 0.8, 0.6),
            _box("main", 0, 0.24, 0.2, 0.56),
            _box("main", 0.8, 0.24, 1, 0.56),
            _box("blue", 0.24, 0.58, 0.46, 0.98),
            _box("blue", 0.54, 0.58, 0.76, 0.98),
            _box("black", 0.16, 0.95, 0.46, 1),
            _box("black", 0.54, 0.95, 0.84, 1),
        ),
        "tree": (
            _box("brown", 0.42, 0.5, 0.58, 1),
            _oval("main", 0.1, 0.15, 0.9, 0.66),
            _oval("dark", 0, 0.28, 0.5, 0.66),
            _oval("main", 0.5, 0.25, 1, 0.64),
            _oval("light", 0.25, 0, 0.75, 0.4),
        ),
        "bench": (
            _box("main", 0, 0, 1, 0.16),
            _box("main", 0, 0.22, 1, 0.38),
            _box("dark", 0, 0.52, 1, 0.66),
            _box("black", 0.06, 0, 0.12, 1),
            _box("black", 0.88, 0, 0.94, 1),
        ),
        "dog": (
            _line("main", 0.09, 0.12, 0.45, 0, 0.15),
            _box("main", 0.1, 0.35, 0.7, 0.72),
            *_legs("main", 0.12, 0.24, 0.52, 0.62, top=0.65),
            _box("main", 0.6, 0.08, 0.86, 0.5),
            _box("main", 0.8, 0.24, 1, 0.44),
            _poly("dark", 0.58, 0.06, 0.7, 0.06, 0.64, 0.42),
            _oval("black", 0.94, 0.22, 1, 0.32),
            _oval("black", 0.78, 0.15, 0.83, 0.23),
        ),
        "bird": (
            _oval("main", 0.2, 0.35, 0.75, 0.85),
            _oval("main", 0.62, 0.2, 0.9, 0.6),
            _poly("orange", 0.88, 0.32, 1, 0.42, 0.88, 0.5),
            _poly("dark", 0.3, 0.5, 0.62, 0.5, 0.3, 0),
            _poly("main", 0.26, 0.5, 0, 0.42, 0.06, 0.7),
        ),
        "kite": (
            _poly("main", 0.5, 0, 1, 0.3, 0.5, 0.72, 0, 0.3),
            _poly("light", 0.5, 0, 0.5, 0.72, 0, 0.3),
            _line("black", 0.03, 0.5, 0.72, 0.62, 0.82, 0.42, 0.9, 0.54, 1),
            _poly("main", 0.46, 0.78, 0.72, 0.76, 0.68, 0.88),
        ),
        "umbrella": (
            _box("brown", 0.47, 0.2, 0.53, 1),
            _poly("main", 0, 0.45, 0.14, 0.18, 0.5, 0, 0.86, 0.18, 1, 0.45),
            _poly("white", 0.34, 0.45, 0.42, 0.04, 0.58, 0.04, 0.66, 0.45),
            _box("dark", 0, 0.42, 1, 0.47),
        ),
        "surfboard": (
            _oval("main", 0, 0, 1, 1),
            _box("dark", 0.44, 0.04, 0.56, 0.96),
            _box("light", 0.08, 0.3, 0.92, 0.4),
            _box("light", 0.08, 0.6, 0.92, 0.66),
        ),
        "boat": (
            _box("brown", 0.46, 0, 0.52, 0.75),
            _poly("white", 0.54, 0.02, 0.94, 0.66, 0.54, 0.66),
            _poly("light", 0.44, 0.12, 0.44, 0.66, 0.1, 0.66),
            _poly("main", 0, 0.72, 1, 0.72, 0.82, 1, 0.16, 1),
        ),
        "beach ball": (
            _oval("main", 0, 0, 1, 1),
            _poly("white", 0.5, 0.5, 0.1, 0.2, 0.35, 0.03),
            _poly("white", 0.5, 0.5, 0.95, 0.3, 0.98, 0.62),
            _poly("white", 0.5, 0.5, 0.2, 0.9, 0.55, 0.99),
            _oval("dark", 0.42, 0.42, 0.58, 0.58),
        ),
        "palm tree": (
            _poly("brown", 0.5, 0.2, 0.58, 0.2, 0.52, 1, 0.36, 1),
            _poly("main", 0.54, 0.2, 0, 0.08, 0.06, 0.3),
            _poly("main", 0.54, 0.2, 0.22, 0, 0.02, 0.02),
            _poly("main", 0.54, 0.2, 0.8, 0, 1, 0.06),
            _poly("main", 0.54, 0.2, 1, 0.14, 0.96, 0.36),
            _poly("dark", 0.54, 0.2, 0.2, 0.3, 0.26, 0.48),
            _poly("dark", 0.54, 0.2, 0.86, 0.34, 0.78, 0.5),
        ),
        "cow": (
            _box("main", 0.08, 0.22, 0.74, 0.68),
            *_legs("main", 0.1, 0.24, 0.54, 0.66, top=0.62),
            _box("main", 0.7, 0.1, 0.94, 0.5),
            _box("pink", 0.78, 0.4, 1, 0.56),
            _poly("white", 0.68, 0.12, 0.6, 0, 0.74, 0.08),
            _poly("white", 0.92, 0.12, 1, 0, 0.88, 0.08),
            _oval("dark", 0.16, 0.26, 0.36, 0.5),
            _oval("dark", 0.46, 0.34, 0.64, 0.6),
            _oval("pink", 0.42, 0.62, 0.56, 0.76),
        ),
        "horse": (
            _box("main", 0.12, 0.36, 0.72, 0.68),
            *_legs("main", 0.12, 0.25, 0.54, 0.64, top=0.62),
            _poly("main", 0.56, 0.4, 0.74, 0.02, 0.9, 0.06, 0.74, 0.5),
            _poly("main", 0.74, 0, 1, 0.2, 0.94, 0.32, 0.76, 0.22),
            _poly("dark", 0.52, 0.4, 0.68, 0.02, 0.76, 0.04, 0.62, 0.42),
            _poly("dark", 0.14, 0.36, 0, 0.5, 0.04, 0.8, 0.14, 0.5),
        ),
        "sheep": (
            *_legs("black", 0.2, 0.34, 0.56, 0.68, top=0.65),
            _oval("main", 0.06, 0.1, 0.5, 0.6),
            _oval("main", 0.3, 0.05, 0.78, 0.6),
            _oval("main", 0.08, 0.35, 0.5, 0.8),
            _oval("main", 0.35, 0.35, 0.82, 0.8),
            _oval("black", 0.7, 0.18, 1, 0.58),
            _oval("white", 0.8, 0.28, 0.87, 0.36),
        ),
        "barn": (
            _box("main", 0.06, 0.4, 0.94, 1),
            _poly("dark", 0, 0.42, 0.2, 0.12, 0.5, 0, 0.8, 0.12, 1, 0.42),
            _box("white", 0.34, 0.58, 0.66, 1),
            _line("main", 0.03, 0.34, 0.58, 0.66, 1),
            _line("main", 0.03, 0.66, 0.58, 0.34, 1),
            _box("white", 0.43, 0.2, 0.57, 0.34),
        ),
        "tractor": (
            _box("main", 0.36, 0.34, 0.96, 0.66),
            _box("main", 0.1, 0, 0.5, 0.6),
            _box("white", 0.16, 0.08, 0.44, 0.36),
            _box("black", 0.78, 0.08, 0.84, 0.36),
            _oval("black", 0, 0.4, 0.5, 1),
            _oval("yellow", 0.14, 0.57, 0.36, 0.83),
            _oval("black", 0.68, 0.6, 0.98, 1),
            _oval("yellow", 0.77, 0.73, 0.89, 0.88),
        ),
    }
)
"""The shapes of each object type, back to front."""
