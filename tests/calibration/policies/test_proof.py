"""p-values: exact for captions, valid and worth their images for mentions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sightline.calibration.policies.promise import Floats, Promise
from sightline.calibration.policies.proof import bet, binomial, growth, p_value

MENTIONS = Promise("mentions", 0.1, 0.9, 8)


def drawn(images: int, share: float, seed: int) -> tuple[Floats, Floats]:
    """Captions of 1 to 8 mentions; those with many have more of them wrong, so that the share of
    totals is ``share`` while mentions cluster."""
    rng = np.random.default_rng(seed)
    of = rng.integers(1, 9, images).astype(float)
    # The mean of of**2 is 25.5 and that of of is 4.5.
    wrong = rng.binomial(of.astype(int), np.minimum(1, share * of * 4.5 / 25.5)).astype(float)
    return wrong, of


@given(images=st.integers(1, 400), data=st.data(), level=st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_captions_have_the_exact_binomial_chance(
    images: int, data: st.DataObject, level: float
) -> None:
    """The chance of so few wrong captions or fewer, to rounding."""
    wrong = data.draw(st.integers(0, images))
    assert binomial(wrong, images, level) == pytest.approx(
        float(binom.cdf(wrong, images, level)), rel=1e-9, abs=1e-300
    )


def test_captions_are_tested_by_their_number() -> None:
    """What they are wrong about elsewhere does not matter."""
    wrong = np.array([1.0] * 10 + [0.0] * 90)
    found = p_value(
        Promise("captions", 0.2), wrong, np.ones(100), elsewhere=(np.ones(3), np.ones(3))
    )
    assert found == pytest.approx(float(binom.cdf(10, 100, 0.2)))
    assert p_value(Promise("captions", 0.2), wrong[:0], wrong[:0], elsewhere=(wrong, wrong)) == 1


def test_a_broken_promise_is_seldom_believed() -> None:
    """At the level itself, where the promise just breaks, at most one time in ten."""
    draws = [
        p_value(MENTIONS, *drawn(300, 0.1, seed), elsewhere=drawn(300, 0.06, 10_000 + seed))
        for seed in range(400)
    ]
    assert np.mean(np.array(draws) <= 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 400)


def test_no_image_takes_more_than_all_there_is() -> None:
    """Whatever the bet, a caption that is all wrong leaves something: money is never negative."""
    other = drawn(200, 0.01, 1)
    highest = bet(MENTIONS, *other, images=10)
    worst = growth(MENTIONS, np.array([8.0]), np.array([8.0]), highest)
    assert np.isfinite(worst).all()
    fair = growth(MENTIONS, np.array([1.0]), np.array([10.0]), highest)
    assert fair == pytest.approx(0)


def test_a_promise_that_is_kept_is_proved() -> None:
    """With hundreds of images, at half the level, nearly always; Hoeffding and Bentkus cannot."""
    from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

    proved, bound = 0, 0
    for seed in range(50):
        wrong, of = drawn(300, 0.05, seed)
        proved += p_value(MENTIONS, wrong, of, elsewhere=drawn(300, 0.05, 999 + seed)) <= 0.1
        scaled = (wrong - 0.1 * of + 0.1 * 8) / 8
        bound += compute_hoeffding_bentkus_p_value(np.array([scaled.mean()]), 300, 0.1)[0, 0] <= 0.1
    assert proved >= 45
    assert bound <= 10


def test_what_was_seen_elsewhere_only_sets_the_bet() -> None:
    """Without other images nothing is bet, and nothing proved."""
    none = np.array([])
    assert bet(MENTIONS, none, none, images=5) == 0
    assert p_value(MENTIONS, *drawn(300, 0.02, 0), elsewhere=(none, none)) == 1
