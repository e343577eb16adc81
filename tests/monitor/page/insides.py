"""Reports made by hand that say what a model's inside was like."""

from __future__ import annotations

from typing import Any

import numpy as np
from sightline.monitor.report import (
    Band,
    BandsSection,
    Grid,
    Inside,
    MentionInside,
    Planes,
    Reads,
    Report,
)

LAYERS = (0, 1, 2, 3)


def grid(rows: int, columns: int, *, start: int = 0, **box: float) -> Grid:
    """A grid over the whole picture, or over the part that is given."""
    sides = {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0, **box}
    return Grid(start=start, rows=rows, columns=columns, **sides)


def with_inside(
    report: Report,
    *,
    bright: int = 0,
    grids: tuple[Grid, ...] = (grid(2, 3),),
    tokens: int = 6,
    words: tuple[str, ...] | None = ("sky", " dog"),
    bands: bool = True,
) -> Report:
    """A report whose nouns looked at one image token, in layer 2 at the one after it.

    The token ``bright`` reads as the second of ``words``, all others as the first; without words
    there is no lens.
    """
    attention = np.full((len(LAYERS), tokens), 0.01)
    attention[:, bright] = 0.4
    attention[2] = np.roll(attention[2], 1)
    chance = np.full((len(LAYERS), tokens), 0.02)
    chance[3, bright] = 0.9
    top = np.zeros((len(LAYERS), tokens), dtype=np.uint16)
    top[:, bright] = 1
    mention = MentionInside(
        profile=(0.25, 0.5, None, 0.75),
        attention=Planes.of(attention),
        confidence=None if words is None else Planes.of(chance),
    )
    line: dict[str, Any] = {"low": (0.1,) * 4, "median": (0.2,) * 4, "high": (0.3,) * 4}
    inside = Inside(
        layers=LAYERS,
        grids=grids,
        reads=None if words is None else Reads.of(words, top, np.maximum(chance, 0.5)),
        bands=BandsSection(layers=LAYERS, share=0.8, real=Band(**line), hallucinated=Band(**line))
        if bands
        else None,
    )
    mentions = tuple(one.model_copy(update={"inside": mention}) for one in report.mentions)
    return report.model_copy(
        update={"inside": inside, "mentions": mentions, "image_tokens": tokens}
    )
