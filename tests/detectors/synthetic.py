"""Made-up mentions whose truth is known, for the tests of detectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sightline.detectors.mentions import Mentions

LAYERS = (0, 1, 2)
HEADS = 2
OBJECTS = ("apple", "boat", "chair")


def mentions(count: int, seed: int = 0, *, layers: tuple[int, ...] = LAYERS) -> Mentions:
    """Mentions without any signal: every column random, four to an image by index."""
    rng = np.random.default_rng(seed)
    shape = (count, len(layers), HEADS)
    index = np.arange(count) % 4
    return Mentions(
        layers=layers,
        object=rng.choice(OBJECTS, count),
        index=index,
        word=3 + 6 * index + rng.integers(0, 3, count),
        repeats=(rng.random(count) < 0.1).astype(np.int64),
        masses=rng.dirichlet(np.ones(4), shape).astype(np.float32),
        naming=rng.dirichlet(np.ones(4), shape).astype(np.float32),
        log_prob=-rng.exponential(1, count).astype(np.float32),
        entropy=rng.exponential(1, count).astype(np.float32),
        margin=rng.exponential(1, count).astype(np.float32),
        confidence=rng.random(count).astype(np.float32),
        contributions=np.zeros((count, len(layers)), np.float32),
    )


def labels(count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Labels that nothing explains."""
    return np.random.default_rng(seed + 1000).integers(0, 2, count)


def images(count: int) -> npt.NDArray[np.int64]:
    """Four mentions to an image."""
    return np.arange(count) // 4
