"""Calibrations for the tests of the monitor: fitted on noise, for the tiny model or another."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from sightline.detectors.calibrated import CalibratedDetector
from sightline.detectors.conditions import Conditions, ModelIdentity
from sightline.detectors.detector import Detector
from sightline.detectors.guarantee import Guarantee
from sightline.detectors.mentions import Mentions
from sightline.detectors.named import detector
from sightline.detectors.probability import ProbabilityMap
from sightline.monitor.models.prompts import DEFAULT_PROMPT

TINY = ModelIdentity("tiny", "", "LlavaForConditionalGeneration", 6, 4)


@cache
def fitted(name: str) -> Detector:
    """A detector of the tiny model's 6 layers of 4 heads, fitted on noise."""
    count, rng = 120, np.random.default_rng(1)
    masses, naming = (rng.dirichlet(np.ones(4), (count, 6, 4)).astype(np.float32) for _ in "ab")
    index = np.arange(count) % 5
    columns = Mentions(
        layers=tuple(range(6)),
        object=rng.choice(["dog", "cat", "bench"], count),
        index=index,
        word=4 * index + 2,
        repeats=index // 4,
        masses=masses,
        naming=naming,
        log_prob=-rng.exponential(1, count).astype(np.float32),
        entropy=rng.exponential(1, count).astype(np.float32),
        margin=rng.exponential(1, count).astype(np.float32),
        confidence=rng.random(count).astype(np.float32),
        contributions=np.zeros((count, 6), np.float32),
    )
    return detector(name).fit(columns, rng.integers(0, 2, count), np.arange(count) // 4)


def judging(name: str = "fused", model: ModelIdentity = TINY, **changes: Any) -> CalibratedDetector:
    """A calibration that flags whatever it may: its threshold is 0."""
    whole = CalibratedDetector(
        fitted(name),
        ProbabilityMap(np.array([-5.0, 5.0]), np.array([-3.0, 3.0])),
        0.0,
        Guarantee("false-alarm", 0.1, 0.9, 200, 0.05),
        Conditions(model, DEFAULT_PROMPT, {"do_sample": False, "max_new_tokens": 512}, "coco"),
        name="judge",
    )
    return replace(whole, **changes)
