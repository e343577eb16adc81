"""The ways that are tried unless one asks for others."""

from __future__ import annotations

from dataclasses import replace

from sightline.calibration.policies.defaults import ALPHAS, THRESHOLDS, default_ways
from sightline.calibration.policies.ways import (
    Acting,
    DropAfterwards,
    Guided,
    RandomGate,
    check_names,
)
from sightline.detectors.calibrated import CalibratedDetector
from sightline.detectors.certificate import Certificate
from sightline.detectors.svar import LayerRange
from sightline.detectors.threshold import SvarThreshold
from sightline.monitor.policy.policy import Policy
from sightline.monitor.session import Monitor

LAYERS = LayerRange(2, 7, "scaled")


def test_every_kind_of_act_is_tried(monitor: Monitor) -> None:
    """Stopping, dropping, writing again by each means, and random gates like two of them."""
    ways = default_ways(monitor.calibration, LAYERS)
    check_names(ways)
    policies = [way.policy for way in ways if isinstance(way, Acting)]
    assert {policy.act for policy in policies} == {"stop", "drop", "redecode"}
    tried = [one for policy in policies for one in policy.tries if policy.act == "redecode"]
    assert any(one.alpha for one in tried)
    assert any(one.avoid for one in tried)
    assert any(one.contrast for one in tried)
    assert sum(isinstance(way, RandomGate) for way in ways) == 2
    guided = [way for way in ways if isinstance(way, Guided)]
    assert {(way.alpha, way.layers) for way in guided} == {
        (alpha, layers) for alpha in ALPHAS for layers in (None, (2, 7))
    }


def test_curves_have_a_point_for_each_threshold(monitor: Monitor) -> None:
    """Of each curve the table lists one point, the figure has all."""
    ways = default_ways(monitor.calibration, LAYERS)
    after = [way for way in ways if isinstance(way, DropAfterwards)]
    assert tuple(way.place for way in after) == THRESHOLDS
    assert [way.listed for way in after].count(True) == 1


def test_scores_that_are_no_probabilities_have_one_threshold() -> None:
    """A threshold of .4 means nothing on another scale: the calibration's own is used."""
    ways = default_ways(SvarThreshold(0.5, LAYERS), LAYERS)
    check_names(ways)
    assert all(way.policy.threshold is None for way in ways if isinstance(way, Acting))


def test_without_a_calibration_nothing_acts() -> None:
    """Greedy decoding, Eq. 4 and sentences are left."""
    ways = default_ways(None, LAYERS)
    assert not [way for way in ways if isinstance(way, (Acting, RandomGate, DropAfterwards))]
    assert len(ways) > 5


def test_a_certified_policy_is_tried(monitor: Monitor) -> None:
    """What the calibration brings along stands in the table under its own name."""
    own = monitor.calibration
    assert isinstance(own, CalibratedDetector)
    policy = Policy(act="stop", threshold=0.37)
    certificate = Certificate(
        policy=policy.to_json(),
        left="captions",
        level=0.2,
        confidence=0.9,
        images=100,
        measured=0.1,
        without=0.4,
        recall=0.8,
        recall_without=0.8,
    )
    ways = default_ways(replace(own, certificate=certificate), LAYERS)
    check_names(ways)
    (found,) = [way for way in ways if way.name.startswith("the calibrated policy")]
    assert isinstance(found, Acting)
    assert found.policy == policy
