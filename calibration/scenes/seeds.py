"""The disjoint ranges of scene seeds: the one place that says which split a scene is of."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

SPLITS: Final = MappingProxyType(
    {
        "train": range(10_000_000),
        "calibration": range(10_000_000, 20_000_000),
        "development": range(20_000_000, 30_000_000),
        "test": range(30_000_000, 40_000_000),
        "samples": range(40_000_000, 40_000_100),
    }
)
"""Seeds of each split. Fit on ``calibration``, choose on ``development``, look at ``test`` last.

``samples`` holds the handful of scenes that travel in the package for the demo.
"""


def seeds(split: str, count: int, *, start: int = 0) -> range:
    """The ``count`` seeds of ``split`` that begin at its ``start``-th.

    Raises:
        ValueError: for an unknown split, a negative count or start, or more scenes than the split
            holds.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, was: {split!r}")
    if count < 0 or start < 0:
        raise ValueError(f"count and start must not be negative, were: {count} and {start}")
    chosen = SPLITS[split][start : start + count]
    if len(chosen) < count:
        raise ValueError(
            f"split {split!r} holds {len(SPLITS[split]):,} scenes, asked for {count:,} from "
            f"{start:,}: ask for fewer"
        )
    return chosen


def split_of(seed: int) -> str:
    """The split that a scene seed belongs to.

    Raises:
        ValueError: if no split holds the seed.
    """
    for name, held in SPLITS.items():
        if seed in held:
            return name
    raise ValueError(f"a scene seed must be between 0 and 40,000,099, was: {seed:,}")
