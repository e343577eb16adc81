"""Calibration tables of made-up mentions, for tests."""

from __future__ import annotations

import numpy as np
from sightline.calibration.collecting.table import CalibrationTable, TableInfo
from sightline.detectors.mentions import Mentions

LAYERS, HEADS = 4, 2
OBJECTS = np.array(["bench", "cat", "dog", "kite", "tree"])

INFO = TableInfo(
    model="made-up",
    revision="0" * 40,
    architecture="MadeUpForConditionalGeneration",
    num_layers=LAYERS,
    num_heads=HEADS,
    prompt="What is in the image?",
    settings={"do_sample": False},
    lexicon="coco",
    annotations="1" * 64,
    lens=True,
)


def made_table(images: int, *, seed: int = 0, signal: float = 1.0) -> CalibrationTable:
    """Captions in which hallucinated mentions look at the image less, and come later.

    About a third of the images hallucinate, some name nothing.

    Args:
        images: how many captions.
        seed: of the draw.
        signal: how much less they look; 0 makes the evidence blind.
    """
    rng = np.random.default_rng(seed)
    per_image = rng.poisson(4.0, images)
    which = np.repeat(np.arange(images), per_image)
    index = np.concatenate([np.arange(count) for count in per_image]).astype(np.int64)
    n = len(which)
    odds = -3.4 + 0.25 * index + rng.normal(0, 1, images)[which]
    labels = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    look = rng.normal(0, 0.6, (n, LAYERS, HEADS)) - signal * labels[:, None, None] - 0.5
    shares = np.exp(np.stack([look, *rng.normal(0, 0.4, (3, n, LAYERS, HEADS))], axis=-1))
    masses = (shares / shares.sum(-1, keepdims=True)).astype(np.float32)
    objects = OBJECTS[rng.integers(len(OBJECTS), size=n)]
    repeats = np.array(
        [int((objects[i - index[i] : i] == objects[i]).sum()) for i in range(n)], dtype=np.int64
    )
    log_prob = -np.abs(rng.normal(0.5 + 0.7 * signal * labels, 0.5)).astype(np.float32)
    unknown = rng.random(n).astype(np.float32)
    mentions = Mentions(
        layers=tuple(range(LAYERS)),
        object=objects,
        index=index,
        word=index * 4 + 2,
        repeats=repeats,
        masses=masses,
        naming=masses[::-1].copy(),
        log_prob=log_prob,
        entropy=(-log_prob * 1.5).astype(np.float32),
        margin=(3 + log_prob).astype(np.float32),
        confidence=unknown,
        contributions=rng.normal(size=(n, LAYERS)).astype(np.float32),
    )
    return CalibrationTable(
        info=INFO,
        mentions=mentions,
        labels=labels,
        images=which.astype(np.int64),
        image_ids=tuple(f"{number:06d}.png" for number in range(images)),
    )
