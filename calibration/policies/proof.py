"""How surprising the outcomes are if a policy broke its promise: one p-value, image as the unit."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ...detectors.extras import remedy
from .promise import Floats, Promise

_BETS: Final = np.linspace(0.01, 0.99, 99)
"""The bets considered, as shares of the highest one that cannot lose more than all."""


def p_value(
    promise: Promise,
    wrong: Floats,
    of: Floats,
    *,
    elsewhere: tuple[Floats, Floats],
) -> float:
    """The chance of outcomes as good as these, at most, if more than the level is left.

    ``captions``: exact binomial, as MAPIE has it (Learn then Test, section 3.2).

    ``mentions``: the share is one of totals, of mentions and not of images, so what is tested is
    ``E[wrong - level * of] >= 0`` with one number an image. Somebody who believes in the promise
    bets the same share of his money against each image in turn; if the promise is broken, the odds
    are against him at every image, and the chance that he is ever ``k`` times as rich as he began
    is at most ``1 / k`` (Ville). What he bets is set on images ``elsewhere``. That needs no bound
    but the highest number an image can come to, ``(1 - level) * most``, and half as many images or
    fewer than Hoeffding's and Bentkus' inequalities on the number brought to 0..1, which have to
    pay for its whole range.

    Args:
        promise: what would be broken.
        wrong: float64 ``[n]``, as :meth:`Promise.counted` gives it, images in an order that does
            not depend on it.
        of: likewise.
        elsewhere: the two of other images.

    Raises:
        ImportError: MAPIE is not installed; the message says how to.

    Source: Angelopoulos et al., "Learn then Test", arXiv 2110.01052; Waudby-Smith and Ramdas,
    "Estimating means of bounded random variables by betting", JRSS B 2024, arXiv 2010.09686,
    section 4: the capital process, with a bet from a sample split.
    """
    if not len(wrong):
        return 1.0
    if promise.left == "captions":
        return binomial(int(wrong.sum()), len(wrong), promise.level)
    gains = growth(promise, wrong, of, bet(promise, *elsewhere, images=len(wrong)))
    return float(min(1.0, math.exp(-max(0.0, float(np.cumsum(gains).max())))))


def binomial(wrong: int, images: int, level: float) -> float:
    """The exact chance of so few wrong captions if the share of them is the level."""
    require_mapie()
    from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

    # The smaller of two: the chance itself, and Hoeffding's bound on it, which is never below it.
    share = np.array([max(0.0, wrong - 1e-6) / images])  # MAPIE rounds up
    return float(compute_hoeffding_bentkus_p_value(share, images, level, binary=True)[0, 0])


def bet(promise: Promise, wrong: Floats, of: Floats, *, images: int) -> float:
    """The bet most likely to prove the promise on so many images like these; 0 without any."""
    if not len(wrong):
        return 0.0
    bets = _BETS / ((1 - promise.level) * promise.most)
    gains = np.log1p(-np.outer(bets, wrong - promise.level * of))
    beyond = images * gains.mean(axis=1) + math.log(1 - promise.confidence)
    spread = math.sqrt(images) * gains.std(axis=1) + 1e-12
    return float(bets[int(np.argmax(beyond / spread))])


def growth(promise: Promise, wrong: Floats, of: Floats, bet: float) -> Floats:
    """What each image does to the logarithm of the better's money, float64 ``[n]``."""
    return np.asarray(np.log1p(-bet * (wrong - promise.level * of)), dtype=np.float64)


def require_mapie() -> None:
    """Find out before any work is done whether anything can be certified.

    Raises:
        ImportError: MAPIE is not installed; the message says how to.
    """
    try:
        import mapie.risk_control.methods  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Certificates need MAPIE, which is not installed: {remedy('calibration')}"
        ) from error
