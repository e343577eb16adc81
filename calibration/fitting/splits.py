"""Three parts of a table that share no image: to fit, to make probabilities, to set thresholds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..collecting.table import CalibrationTable

Ints = npt.NDArray[np.int64]

SHARES: Final = (0.5, 0.2, 0.3)
"""Of the images: to fit the detector, to map its score to a probability, to set the threshold."""

FEWEST: Final = 30
"""With fewer images, no part would be worth anything."""

PARTS: Final = ("fit", "probability", "threshold")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Positions in ``image_ids`` of each part, int64, ascending; every image is in one of them.

    Attributes:
        fit: the detector learns from these, its layers and settings included.
        probability: scores become probabilities on these.
        threshold: the threshold and its promise rest on these alone.
    """

    fit: Ints
    probability: Ints
    threshold: Ints


def split(table: CalibrationTable, *, seed: int = 0) -> Split:
    """Split a table by image, in the shares :data:`SHARES`.

    Images whose captions hallucinate and those whose captions are true are split alike, so that
    every part holds both. Which part an image falls into hangs on its id and the seed, by a hash,
    not on the order of the table: it is as good as drawn, and the same on every machine. Within
    each of the two kinds images are drawn independently, which is what promises of recall and
    false alarms rest on; their mixture, which precision depends on as well, varies less than in
    free drawing.

    Args:
        table: captioned images with labelled mentions.
        seed: for another split.

    Raises:
        ValueError: fewer than :data:`FEWEST` images, or a part would lack hallucinated or real
            mentions.
    """
    if len(table.image_ids) < FEWEST:
        raise ValueError(
            f"A calibration needs at least {FEWEST} captioned images, the table has "
            f"{len(table.image_ids)}. Collect more."
        )
    hallucinates = np.zeros(len(table.image_ids), dtype=bool)
    hallucinates[table.images[table.labels == 1]] = True
    parts: list[list[int]] = [[], [], []]
    for stratum in (np.flatnonzero(hallucinates), np.flatnonzero(~hallucinates)):
        drawn = sorted(stratum.tolist(), key=lambda image: _hash(table.image_ids[image], seed))
        ends = np.rint(np.cumsum((0.0, *SHARES)) * len(drawn)).astype(int)
        for part, first, end in zip(parts, ends[:-1], ends[1:], strict=True):
            part.extend(drawn[first:end])
    for name, part in zip(PARTS, parts, strict=True):
        _check(table, part, name)
    fit, probability, threshold = (np.array(sorted(part), dtype=np.int64) for part in parts)
    return Split(fit=fit, probability=probability, threshold=threshold)


def _check(table: CalibrationTable, part: Sequence[int], name: str) -> None:
    labels = table.labels[np.isin(table.images, part)]
    wrong, right = int((labels == 1).sum()), int((labels == 0).sum())
    if not wrong or not right:
        raise ValueError(
            f"Every part of a calibration needs mentions of both kinds; the {name} part of "
            f"{len(part)} images has {wrong} hallucinated and {right} real ones, the table of "
            f"{len(table.image_ids)} images {int((table.labels == 1).sum())} and "
            f"{int((table.labels == 0).sum())}. Collect more images."
        )


def _hash(image_id: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{image_id}".encode()).hexdigest()
