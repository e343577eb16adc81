"""Outcomes of made-up policies, whose shares are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from sightline.calibration.policies.candidates import NOTHING, Candidate
from sightline.calibration.policies.outcome import Outcome
from sightline.monitor.policy.policy import Policy

THERE = ("bench", "cat", "dog", "tree")


def outcome(way: str, image: str, *, real: int = 3, wrong: int = 0, **changes: Any) -> Outcome:
    """A caption that names so many objects of the four that are there, and so many that are not."""
    mentions = THERE[:real] + ("ghost",) * wrong
    values: dict[str, Any] = {
        "way": way,
        "image": image,
        "text": " ".join(mentions),
        "mentions": mentions,
        "truth": THERE,
        "words": mentions,
        "tokens": 20,
        "passes": 20,
        "seconds": 0.1,
        "ended": True,
        "flagged": 0,
        "actions": {},
    }
    return Outcome(**{**values, **changes})


def candidate(threshold: float, name: str | None = None) -> Candidate:
    """A policy that stops at a flag."""
    return Candidate(name or f"stop {threshold:g}", Policy(act="stop", threshold=threshold))


def world(
    shares: dict[Candidate, float], *, images: int, seed: int = 0, passes: int = 20
) -> list[Outcome]:
    """Outcomes in which each candidate leaves a share of captions wrong, and names more the more
    it leaves; doing nothing leaves half of them."""
    rng = np.random.default_rng(seed)
    luck = rng.random(images)
    return [
        outcome(
            one.name,
            f"{number:05}",
            real=1 + int(rng.random() < share) + int(rng.random() < 0.5 + share / 2),
            wrong=int(luck[number] < share),
            passes=20 if one is NOTHING else passes,
        )
        for one, share in {NOTHING: 0.5, **shares}.items()
        for number in range(images)
    ]
