"""Every number the training depends on, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of training.

    Attributes:
        steps: optimiser steps.
        batch: examples in one step, over all workers.
        rate: peak learning rate of the matrices (Muon) and, scaled by ``adam_scale``, of the rest.
        adam_scale: learning rate of embeddings, norms and biases (AdamW) as a share of ``rate``.
        final: learning rate at the end as a share of the peak, reached by a half cosine.
        warmup: steps of linear warm-up.
    """

    steps: int
    batch: int
    rate: float
    adam_scale: float = 0.5
    final: float = 0.05
    warmup: int = 100


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole training.

    Attributes:
        scenes: rendered training scenes.
        seed: of weights and data order.
        vision: warm-up of the vision tower on dense and global labels.
        text: the decoder alone, on captions without pictures.
        align: the projector alone, decoder and vision tower frozen.
        joint: projector and decoder together, vision tower frozen.
        detailed: share of detailed prompts; the others ask for one sentence.
        weight_decay: of both optimisers.
    """

    scenes: int = 80_000
    seed: int = 0
    vision: Stage = field(
        default_factory=lambda: Stage(steps=4200, batch=96, rate=6e-3, adam_scale=0.3)
    )
    text: Stage = field(default_factory=lambda: Stage(steps=700, batch=96, rate=3e-3))
    align: Stage = field(default_factory=lambda: Stage(steps=400, batch=24, rate=3e-3))
    joint: Stage = field(default_factory=lambda: Stage(steps=3000, batch=24, rate=1e-3))
    detailed: float = 0.75
    weight_decay: float = 0.01


TINY = Recipe(
    scenes=48,
    vision=Stage(steps=3, batch=12, rate=1e-3, warmup=1),
    text=Stage(steps=3, batch=12, rate=1e-3, warmup=1),
    align=Stage(steps=2, batch=6, rate=1e-3, warmup=1),
    joint=Stage(steps=3, batch=6, rate=1e-3, warmup=1),
)
"""A rehearsal of every stage in seconds, for tests; what comes out knows nothing."""
