"""Ways: what they are called, what they refuse, how they are read from a file."""

from __future__ import annotations

import json

import pytest
from sightline.calibration.policies.ways import (
    FirstSentences,
    Guided,
    Plain,
    RandomGate,
    acting,
    check_names,
    in_words,
    ways_from_json,
)
from sightline.monitor.policy.policy import AVOID, Intervention, Policy


def test_a_policy_in_words_says_what_makes_a_difference() -> None:
    """Defaults are left out; Eq. 4, thresholds and further sentences are named."""
    assert in_words(Policy(act="stop")) == "stop"
    policy = Policy(
        tries=(Intervention(alpha=2.0), AVOID),
        max_tries=2,
        back_to="clause",
        otherwise="keep",
        threshold=0.4,
        more=2,
    )
    assert in_words(policy) == (
        "re-decode (attention x2, then avoid), from the clause, 2 tries, else keep, "
        "threshold 0.4, 2 more sentences"
    )


def test_a_family_is_a_policy_at_several_thresholds() -> None:
    """The threshold is the place on the family's curve; another act is another family."""
    low, high = (acting(Policy(act="stop", threshold=one)) for one in (0.2, 0.4))
    assert low.family == high.family == "stop"
    assert (low.place, high.place) == (0.2, 0.4)
    assert acting(Policy(act="drop", threshold=0.2)).family != low.family


def test_ways_are_json() -> None:
    """Whatever a way holds is in its JSON, its kind too."""
    policy = Policy(act="stop", more=1)
    for way in (
        Plain(),
        Guided(name="g", family="f", alpha=1.0, layers=(2, 7)),
        FirstSentences(name="first", family="f", count=2),
        acting(policy),
        RandomGate(name="r", family="f", policy=policy, like="stop"),
    ):
        values = json.loads(json.dumps(way.to_json()))
        assert values["kind"] == way.kind
        assert values["name"] == way.name


def test_policies_are_read_from_a_list() -> None:
    """A name is taken where there is one, what a policy leaves out is as by default."""
    named, other = ways_from_json(
        [{"name": "mine", "act": "stop", "threshold": 0.3}, {"tries": [{"alpha": 2.0}]}]
    )
    assert (named.name, named.policy) == ("mine", Policy(act="stop", threshold=0.3))
    assert other.policy == Policy(tries=(Intervention(alpha=2.0),))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "at least one policy"),
        ({"act": "stop"}, "must be a list"),
        (["stop"], "number 1 was"),
        ([{"act": "stop"}, {"act": "jump"}], "number 2 cannot be read"),
        ([{"name": 3}], "a text as name"),
    ],
)
def test_a_bad_list_says_which_policy(values: object, said: str) -> None:
    """Which of them, and why."""
    with pytest.raises(ValueError, match=said):
        ways_from_json(values)


def test_names_are_checked() -> None:
    """Two ways of one name, or a random gate like nothing, are refused."""
    stop = acting(Policy(act="stop"))
    check_names((Plain(), stop, RandomGate(name="r", family="r", policy=stop.policy, like="stop")))
    with pytest.raises(ValueError, match="name of its own"):
        check_names((stop, stop))
    with pytest.raises(ValueError, match="to be like: 'greedy'"):
        check_names((Plain(), RandomGate(name="r", family="r", policy=stop.policy, like="greedy")))


def test_settings_out_of_range_are_refused() -> None:
    """No strength, no sentence, no name."""
    with pytest.raises(ValueError, match=r"above 0, was: 0\.0"):
        Guided(name="g", family="f", alpha=0.0)
    with pytest.raises(ValueError, match="at least 1 sentence, was: 0"):
        FirstSentences(name="f", family="f", count=0)
    with pytest.raises(ValueError, match="name and a family"):
        Plain(name=" ")
