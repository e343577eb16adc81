"""Outcomes and trials made by hand, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sightline.calibration.policies.outcome import Outcome
from sightline.calibration.policies.outcomefile import Trial, TrialHeader
from sightline.calibration.policies.ways import Plain, Way, acting
from sightline.monitor.policy.policy import Policy

STOP = acting(Policy(act="stop", threshold=0.4))


def outcome(way: str = "greedy", image: str = "1", **values: Any) -> Outcome:
    """An outcome: a true cat in one sentence, unless told otherwise."""
    given: dict[str, Any] = {
        "text": "A cat.",
        "mentions": ("cat",),
        "truth": ("cat", "dog"),
        "words": ("a", "cat"),
        "tokens": 4,
        "passes": 4,
        "seconds": 1.0,
        "ended": True,
        "flagged": 0,
        "actions": {},
    }
    return Outcome(way=way, image=image, **{**given, **values})


def header(ways: Sequence[Way] = (Plain(), STOP), **values: Any) -> TrialHeader:
    """The header of a trial of two images."""
    given: dict[str, Any] = {
        "model": "made-up",
        "revision": "0",
        "calibration": "made-up",
        "prompt": "What is there?",
        "max_new_tokens": 9,
        "lexicon": "coco",
        "annotations": "1",
        "images": 2,
        "which": "2",
    }
    return TrialHeader(**{**given, "ways": tuple(way.to_json() for way in ways), **values})


def trial(by_way: Mapping[Way, Sequence[Outcome]]) -> Trial:
    """A complete trial; the outcomes' ways and images are filled in."""
    rows = [
        Outcome.from_json({**one.to_json(), "way": way.name, "image": str(number)})
        for way, outcomes in by_way.items()
        for number, one in enumerate(outcomes)
    ]
    images = max(map(len, by_way.values()))
    return Trial(header(tuple(by_way), images=images), tuple(rows), ())
