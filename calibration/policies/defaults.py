"""The ways that ``sightline evaluate policies`` tries unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ...detectors.calibrated import CalibratedDetector
from ...detectors.svar import LayerRange
from ...detectors.verdict import Calibration
from ...monitor.policy.policy import AVOID, Intervention, Policy
from ..reporting.figures.style import layers_in_words
from .ways import (
    Acting,
    DropAfterwards,
    FirstSentences,
    Guided,
    Plain,
    RandomGate,
    Watched,
    Way,
    acting,
    in_words,
)

ALPHAS: Final = (0.5, 1.0, 2.0, 3.0)
"""Strengths of Eq. 4 always on; the paper has 0.5, the small model stands more."""

SENTENCES: Final = (1, 2, 3, 4, 5)
"""How many sentences of the greedy caption are kept."""

THRESHOLDS: Final = (0.2, 0.3, 0.4, 0.5, 0.6)
"""Probabilities from which mentions are flagged, for curves."""

MAIN: Final = 0.4
"""The one of them at which every policy is tried."""

_LISTED_ALPHAS: Final = (0.5, 1.0, 2.0)
_LISTED_SENTENCES: Final = (2, 3, 4)

_STRONG: Final = Intervention(alpha=2.0)


def default_ways(calibration: Calibration | None, layers: LayerRange) -> tuple[Way, ...]:
    """Greedy decoding, always-on Eq. 4, what cuts blindly, every act, and random gates.

    Args:
        calibration: the monitor's; without one there is nothing to act on. Where its scores are no
            probabilities, its own threshold is the only one that is tried.
        layers: Eq. 4 always on acts there, and in all layers.
    """
    return tuple(_ways(calibration, layers))


def _ways(calibration: Calibration | None, layers: LayerRange) -> Iterator[Way]:
    yield Plain()
    yield Watched()
    for where, acted_on in (("all layers", None), (layers_in_words(layers), layers)):
        for alpha in ALPHAS:
            yield Guided(
                name=f"Eq. 4 always on, alpha {alpha:g}, {where}",
                family=f"Eq. 4 always on, {where}",
                place=alpha,
                listed=alpha in _LISTED_ALPHAS,
                alpha=alpha,
                layers=None if acted_on is None else (acted_on.first, acted_on.last),
            )
    for count in SENTENCES:
        yield FirstSentences(
            name=f"first {count} sentences" if count > 1 else "first sentence",
            family="first sentences",
            place=count,
            listed=count in _LISTED_SENTENCES,
            count=count,
        )
    if calibration is None:
        return
    probabilities = calibration.kind == "calibrated"
    main = MAIN if probabilities else None
    for threshold in THRESHOLDS if probabilities else (None,):
        yield DropAfterwards(
            name="drop flagged sentences afterwards"
            + ("" if threshold is None else f", threshold {threshold:g}"),
            family="drop flagged sentences afterwards",
            place=threshold or 0.0,
            listed=threshold == main,
            threshold=threshold,
        )
    own = acting(Policy(act="stop"))
    yield replace(own, name="stop, the calibration's threshold", place=calibration.threshold or 0.0)
    certified: Policy | None = None
    if isinstance(calibration, CalibratedDetector) and calibration.certificate is not None:
        certified = Policy.from_json(calibration.certificate.policy)
    tried: dict[Policy, Acting] = {}
    for policy in _policies():
        for threshold in THRESHOLDS if probabilities and policy in _SWEPT else (main,):
            if policy != Policy(act="stop") or threshold is not None:
                one = replace(policy, threshold=threshold)
                tried[one] = acting(one, listed=threshold == main or one == certified)
    if certified is not None:
        way = tried.get(certified) or acting(certified)
        tried[certified] = replace(way, name=f"the calibrated policy: {in_words(certified)}")
    yield from tried.values()
    for policy in (replace(_STOP, threshold=main), replace(_GUIDED, threshold=main)):
        like = tried[policy]
        yield RandomGate(
            name=f"random gate: {like.family}",
            family=f"random gate: {like.family}",
            policy=replace(policy, threshold=None),
            like=like.name,
        )


_STOP: Final = Policy(act="stop", more=1)
_GUIDED: Final = Policy(tries=(_STRONG,), max_tries=1, more=1)
_SWEPT: Final = (Policy(act="stop"), _STOP, _GUIDED)
"""Tried at all thresholds: a curve each."""


def _policies() -> tuple[Policy, ...]:
    """One of each act, and of each intervention."""
    return (
        Policy(act="stop"),
        _STOP,
        Policy(act="drop", max_tries=3, more=1),
        replace(_GUIDED, tries=(AVOID,)),
        _GUIDED,
        replace(_GUIDED, tries=(Intervention(alpha=2.0, avoid=True),)),
        replace(_GUIDED, tries=(Intervention(contrast=1.0),)),
        replace(_GUIDED, otherwise="drop"),
        replace(_STOP, release="sentence"),
    )
