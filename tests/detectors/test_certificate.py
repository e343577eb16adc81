"""What a policy promises: in words, and refused where it would promise nothing."""

from __future__ import annotations

from typing import Any

import pytest

from .calibrations import calibrated, certificate


def test_a_promise_on_captions_in_words() -> None:
    """Confidence, images, level, and what was measured with and without."""
    assert str(certificate()) == (
        "With 90% confidence, on images like the 1,500 it was calibrated on: after the policy has "
        "acted, at most 15% of the captions name an object that is not there (13.1% on those "
        "images, 48.2% without it)."
    )


def test_a_promise_on_mentions_says_which_count() -> None:
    """A share of mentions is promised of the first ones of each caption."""
    said = str(certificate(left="mentions", most=16))
    assert "15% of the objects named are not there, the first 16 of each caption counted" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": 1.5}, "level must be 0 to 1, was: 1.5"),
        ({"measured": float("nan")}, "measured must be 0 to 1"),
        ({"images": 0}, "must rest on images"),
        ({"left": "mentions"}, "must say how many of a caption count"),
        ({"most": 16}, "one on captions said: 16"),
        ({"left": "mentions", "most": 0}, "said: 0"),
    ],
)
def test_what_promises_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    """Shares are shares, it rests on images, and mentions are limited."""
    with pytest.raises(ValueError, match=message):
        certificate(**changes)


def test_a_calibration_gets_a_policy_and_loses_it() -> None:
    """All else stays as it was."""
    bare = calibrated()
    certified = bare.with_certificate(certificate())
    assert certified.certificate == certificate()
    assert (certified.created, certified.threshold) == (bare.created, bare.threshold)
    assert bare.certificate is None
    assert certified.with_certificate(None).certificate is None
