"""A policy chosen on one half and certified on the other: which, what is said, and how often it
is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sightline.calibration.policies.candidates import NOTHING
from sightline.calibration.policies.certification import Certified, NoPolicy, figures
from sightline.calibration.policies.certify import certify, choose
from sightline.calibration.policies.promise import Promise
from sightline.calibration.policies.race import Limits
from sightline.calibration.policies.tried import line_up

from .worlds import candidate, outcome, world

CAREFUL, MIDDLE, BOLD = candidate(0.1), candidate(0.3), candidate(0.6)
SHARES = {BOLD: 0.35, CAREFUL: 0.05, MIDDLE: 0.12}
ANY = Limits(recall_loss=1.0)


def test_the_boldest_that_keeps_the_promise_is_chosen() -> None:
    """From the most careful on, until one fails; it is measured on the certifying half."""
    outcomes = world(SHARES, images=2000)
    found = certify(outcomes, list(SHARES), Promise("captions", 0.2), limits=ANY)
    assert isinstance(found, Certified)
    assert found.candidate == MIDDLE
    certificate = found.certificate
    assert certificate.policy == MIDDLE.policy.to_json()
    assert (certificate.images, certificate.level, certificate.confidence) == (1000, 0.2, 0.9)
    assert certificate.measured == pytest.approx(0.12, abs=0.03)
    assert certificate.without == pytest.approx(0.5, abs=0.05)
    assert certificate.recall < certificate.recall_without
    assert [row.candidate for row in found.rows] == [CAREFUL, MIDDLE, BOLD, NOTHING]
    assert [row.certified for row in found.rows] == [True, True, False, False]
    assert found.rows[3].p_value is None, "the search had ended"


def test_p_values_are_of_the_other_half_alone() -> None:
    """The rows say on which images they rest."""
    found = certify(world(SHARES, images=500), list(SHARES), Promise("captions", 0.2), limits=ANY)
    row = found.rows[0]
    assert (row.chosen.images, row.proven.images) == (250, 250)
    assert row.p_value == pytest.approx(float(binom.cdf(round(row.proven.left * 250), 250, 0.2)))


@pytest.mark.parametrize("left", ["captions", "mentions"])
def test_it_does_not_matter_in_which_order_outcomes_come(left: str) -> None:
    """The split goes by image and seed; another seed is another split."""
    outcomes, promise = world(SHARES, images=300), Promise.parse(f"{left}=0.2")
    found = certify(outcomes, list(SHARES), promise, limits=ANY, seed=3)
    assert certify(outcomes[::-1], list(SHARES)[::-1], promise, limits=ANY, seed=3) == found
    assert certify(outcomes, list(SHARES), promise, limits=ANY, seed=4).rows != found.rows


def test_too_little_recall_and_too_many_passes_are_put_aside() -> None:
    """By the choosing images, against doing nothing."""
    outcomes = world(SHARES, images=1000)
    found = certify(
        outcomes, list(SHARES), Promise("captions", 0.45), limits=Limits(recall_loss=0.12)
    )
    aside = {row.candidate: row.aside for row in found.rows}
    assert aside == {CAREFUL: "recall", MIDDLE: "recall", BOLD: None, NOTHING: None}
    slow = world(SHARES, images=1000, passes=31)
    none = certify(
        slow, list(SHARES), Promise("captions", 0.45), limits=Limits(recall_loss=1, passes=1.5)
    )
    assert {row.aside for row in none.rows if row.candidate != NOTHING} == {"passes"}
    same = certify(
        slow, list(SHARES), Promise("captions", 0.45), limits=Limits(recall_loss=1, passes=1.6)
    )
    assert "passes" not in {row.aside for row in same.rows}


def test_who_leaves_more_and_names_less_is_not_tested() -> None:
    """It could never be chosen, and would only stand in the way."""
    worse = candidate(0.4, "worse")
    outcomes = world(SHARES, images=400)
    outcomes += [
        outcome(worse.name, one.image, real=1, wrong=int(int(one.image) % 4 == 0))
        for one in outcomes
        if one.way == NOTHING.name
    ]
    found = certify(outcomes, [worse, *SHARES], Promise("captions", 0.2), limits=ANY)
    assert found.rows[-1].candidate == worse
    assert found.rows[-1].aside == "outdone"


def test_doing_nothing_is_chosen_where_it_keeps_the_promise() -> None:
    """A model that seldom hallucinates needs no policy, and that can be certified as well."""
    found = certify(world(SHARES, images=1000), list(SHARES), Promise("captions", 0.6), limits=ANY)
    assert isinstance(found, Certified)
    assert found.candidate == NOTHING
    assert found.certificate.measured == found.certificate.without


def test_no_policy_says_what_the_images_support() -> None:
    """The level that would do, and how many images this one would take."""
    outcomes = world(SHARES, images=100)
    found = certify(outcomes, list(SHARES), Promise("captions", 0.06), limits=ANY)
    assert isinstance(found, NoPolicy)
    assert found.images == 50
    assert found.reachable is not None
    again = certify(outcomes, list(SHARES), Promise("captions", found.reachable), limits=ANY)
    assert isinstance(again, Certified)
    assert "No policy keeps captions=0.06 with 90% confidence." in str(found)
    assert f"captions={found.reachable:g}" in str(found)


@pytest.mark.parametrize("left", ["captions", "mentions"])
def test_so_many_images_as_it_says_would_do(left: str) -> None:
    """The world as measured, drawn as often as is said to be needed."""
    share, level = (0.05, 0.08) if left == "captions" else (0.05, 0.035)
    few = certify(world({CAREFUL: share}, images=80), [CAREFUL], Promise.parse(f"{left}={level}"))
    seeds = iter(range(1, 40))
    while isinstance(few, Certified) or few.needed is None or few.best is None:
        few = certify(
            world({CAREFUL: share}, images=80, seed=next(seeds)),
            [CAREFUL],
            Promise.parse(f"{left}={level}"),
            limits=ANY,
        )
    assert few.needed > 80
    assert f"About {few.needed:,} would do" in str(few)


def test_no_number_of_images_makes_a_broken_promise_hold() -> None:
    """Where more is left than may be."""
    for left in ("captions", "mentions"):
        found = certify(
            world({BOLD: 0.35}, images=200), [BOLD], Promise.parse(f"{left}=0.03"), limits=ANY
        )
        assert isinstance(found, NoPolicy)
        assert found.needed is None
        assert "more images are not likely to change that" in str(found)


def test_where_every_policy_costs_too_much_doing_nothing_is_left() -> None:
    """It never costs more than it may."""
    outcomes = world({CAREFUL: 0.05}, images=100, passes=90)
    found = certify(
        outcomes, [CAREFUL], Promise("captions", 0.2), limits=Limits(recall_loss=1, passes=2)
    )
    assert isinstance(found, NoPolicy)
    assert [(row.candidate, row.aside) for row in found.rows] == [
        (NOTHING, None),
        (CAREFUL, "passes"),
    ]
    assert found.best == found.rows[0].proven.left


@pytest.mark.parametrize(("left", "level"), [("captions", 0.139), ("mentions", 0.06)])
def test_a_certificate_is_seldom_wrong(left: str, level: float) -> None:
    """300 calibration sets of one world, and a level between the shares of its policies: what is
    certified breaks the promise in one of ten at most."""
    shares = {candidate(0.05 * n): 0.02 + 0.02 * n for n in range(1, 12)}
    promise = Promise.parse(f"{left}={level}", most=4)
    whole = line_up(world(shares, images=2000), (NOTHING, *shares), promise)
    truth = {one.candidate: one.tally.left for one in whole}
    assert sum(share > level for share in truth.values()) >= 3
    rng, wrong, none = np.random.default_rng(0), 0, 0
    for _ in range(300):
        drawn = rng.integers(2000, size=500)
        found = choose([one.take(drawn) for one in whole], promise, limits=ANY)
        if isinstance(found, NoPolicy):
            none += 1
        else:
            wrong += truth[found.candidate] > level
    assert wrong <= binom.ppf(0.999, 300, 0.1)
    assert none < 100


def test_outcomes_must_be_of_the_same_images() -> None:
    """One of each, and enough of them."""
    outcomes = world(SHARES, images=30)
    promise = Promise("captions", 0.2)
    with pytest.raises(ValueError, match=r"one outcome of each image.*'stop 0.6'"):
        certify(
            [one for one in outcomes if (one.way, one.image) != ("stop 0.6", "00003")],
            list(SHARES),
            promise,
        )
    with pytest.raises(ValueError, match="one outcome of each image"):
        certify([*outcomes, outcomes[0]], list(SHARES), promise)
    with pytest.raises(ValueError, match="at least 20 images"):
        certify(world(SHARES, images=19), list(SHARES), promise)


@pytest.mark.parametrize("limits", [{"recall_loss": -0.1}, {"recall_loss": 2}, {"passes": 0.5}])
def test_limits_make_sense(limits: dict[str, float]) -> None:
    """Shares of recall, and no fewer passes than doing nothing takes."""
    with pytest.raises(ValueError, match=r"must lie between|at least 1"):
        Limits(**limits)


def test_rows_become_json() -> None:
    """What is not defined is null: here nothing was named, so no share of it is wrong."""
    outcomes = [
        outcome(way, f"{n}", real=0) for way in (NOTHING.name, CAREFUL.name) for n in range(30)
    ]
    rows = certify(outcomes, [CAREFUL], Promise("mentions", 0.2)).rows
    found = figures(rows[0])
    assert found["choosing"] == {"left": None, "recall": 0.0, "f1": 0.0, "passes": 20.0}
    assert found["policy"] == rows[0].candidate.policy.to_json()
    assert not any(row.certified for row in rows)


def test_images_must_hold_something() -> None:
    """Without any object there is no recall to keep."""
    outcomes = [
        outcome(way, f"{n}", truth=()) for way in (NOTHING.name, CAREFUL.name) for n in range(30)
    ]
    with pytest.raises(ValueError, match="must hold objects"):
        certify(outcomes, [CAREFUL], Promise("captions", 0.2))
