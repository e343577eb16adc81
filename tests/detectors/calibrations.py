"""Calibrations of made-up mentions, for the tests of artifacts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from sightline.detectors.calibrated import CalibratedDetector
from sightline.detectors.certificate import Certificate
from sightline.detectors.conditions import Conditions, ModelIdentity
from sightline.detectors.detector import Detector
from sightline.detectors.evidence import Evidence
from sightline.detectors.guarantee import Guarantee
from sightline.detectors.mentions import MentionEvidence, Mentions
from sightline.detectors.named import detector
from sightline.detectors.probability import ProbabilityMap

from .synthetic import HEADS, images, labels, mentions

CONDITIONS = Conditions(
    ModelIdentity("a model", "sha256:1", "Model", 3, HEADS),
    "What is there?",
    {"do_sample": False, "max_new_tokens": 64},
    "coco",
    "f" * 64,
)
PROMISE = Guarantee("recall", 0.8, 0.9, 321, 0.84)


@cache
def fitted(name: str) -> Detector:
    """A detector fitted on noise."""
    return detector(name).fit(mentions(160), labels(160), images(160))


def calibrated(name: str = "heads-linear", **changes: Any) -> CalibratedDetector:
    """A calibration that promises something."""
    scorer = fitted(name)
    scores = scorer.score(mentions(160))
    low, high = np.nanmin(scores), np.nanmax(scores)
    whole = CalibratedDetector(
        scorer,
        ProbabilityMap(np.array([low, low + 0.1, high + 1]), np.array([-2.0, -1 / 3, 1.7])),
        0.4,
        PROMISE,
        CONDITIONS,
        notes=("Mind the gap.",),
    )
    return replace(whole, **changes)


def certificate(**changes: Any) -> Certificate:
    """What a policy promises of captions."""
    values: dict[str, Any] = {
        "policy": {"act": "stop", "threshold": 0.3},
        "left": "captions",
        "level": 0.15,
        "confidence": 0.9,
        "images": 1500,
        "measured": 0.131,
        "without": 0.482,
        "recall": 0.74,
        "recall_without": 0.76,
    }
    return Certificate(**{**values, **changes})


def one_by_one(columns: Mentions) -> list[MentionEvidence]:
    """The mentions as they are met while decoding."""
    return [
        MentionEvidence(
            object=str(columns.object[i]) or None,
            index=int(columns.index[i]),
            word=int(columns.word[i]),
            repeats=int(columns.repeats[i]),
            predicting=Evidence(
                columns.layers,
                columns.masses[i],
                float(columns.log_prob[i]),
                float(columns.entropy[i]),
                float(columns.margin[i]),
                float(columns.confidence[i]),
                columns.contributions[i],
            ),
            naming=Evidence(columns.layers, columns.naming[i], None, None, None),
        )
        for i in range(len(columns))
    ]
