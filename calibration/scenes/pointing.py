"""Whether the small model's attention points at what it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..statistics import Estimate, difference, ratio
from .architecture import PATCHES
from .observed import Observed
from .render import SIDE

_GRID: Final = int(PATCHES**0.5)


@dataclass(frozen=True, slots=True)
class Pointing:
    """How often the most attended image token lies in a box, and how often it would by chance."""

    hits: Estimate
    chance: Estimate
    lift: Estimate


def _cells(boxes: Sequence[tuple[int, int, int, int]]) -> npt.NDArray[np.bool_]:
    """Which patches have their centre in one of the boxes, bool ``[PATCHES]``."""
    centre = (np.arange(_GRID) + 0.5) * SIDE / _GRID
    inside = np.zeros((_GRID, _GRID), bool)
    for left, top, right, bottom in boxes:
        inside |= ((centre >= top) & (centre < bottom))[:, None] & (
            (centre >= left) & (centre < right)
        )
    return inside.ravel()


def pointing(
    observed: Observed, layers: tuple[int, int], *, hallucinated: bool, naming: bool, own: bool
) -> Pointing:
    """Pointing accuracy of the head-averaged image attention, with intervals by image.

    Args:
        observed: the captions.
        layers: first and last layer averaged over.
        hallucinated: which first mentions to look at.
        naming: the row of the object's own first token, instead of the row that predicts it.
        own: whether the box must be of the object named (there is none for a hallucinated one), or
            may be of any annotated object *not* named by the mention.
    """
    count = len(observed.pictures)
    hits, chances, total = np.zeros(count), np.zeros(count), np.zeros(count)
    for m in observed.first_mentions:
        if m.hallucinated != hallucinated:
            continue
        telling, picture = observed.tellings[m.picture], observed.pictures[m.picture]
        boxes = [s.box for s in picture.annotated if (s.object.type == m.object) == own]
        inside = _cells(boxes)
        if not inside.any():
            continue
        row = min(m.token + naming, len(telling.patches) - 1)
        attended = telling.patches[row, layers[0] : layers[1] + 1].astype(np.float32).mean(0)
        hits[m.picture] += inside[int(attended.argmax())]
        chances[m.picture] += inside.mean()
        total[m.picture] += 1
    return Pointing(
        ratio(hits, total), ratio(chances, total), difference(hits, total, chances, total)
    )
