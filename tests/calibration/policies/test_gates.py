"""A gate that flags at random."""

from __future__ import annotations

import numpy as np
import pytest
from sightline.calibration.policies.gates import ChanceCalibration, chance_of
from sightline.detectors.evidence import Evidence
from sightline.detectors.mentions import MentionEvidence
from sightline.detectors.svar import LayerRange
from sightline.detectors.threshold import SvarThreshold

from .outcomes import outcome

MENTIONS = [
    MentionEvidence(
        object="cat",
        index=index,
        word=3 * index,
        repeats=0,
        predicting=Evidence(
            layers=(0,),
            masses=np.zeros((1, 1, 4), np.float32),
            log_prob=0.0,
            entropy=0.0,
            margin=0.0,
        ),
    )
    for index in range(2000)
]


def gate(chance: float, *, seed: int = 0) -> ChanceCalibration:
    """In place of a threshold on SVAR."""
    own = SvarThreshold(0.5, LayerRange(0, 0, "user"))
    return ChanceCalibration(own, chance, seed=seed)


def test_it_flags_at_its_rate_and_the_same_again() -> None:
    """About a fifth of the mentions, drawn anew for another image or seed and for nothing else."""
    one, other = gate(0.2), gate(0.2, seed=1)
    one.image = other.image = "7"
    flags = [judged.flagged for judged in one.judge(MENTIONS)]
    assert 0.16 < np.mean(flags) < 0.24
    assert flags == [judged.flagged for judged in one.judge(MENTIONS)]
    assert flags != [judged.flagged for judged in other.judge(MENTIONS)]
    one.image = "8"
    assert flags != [judged.flagged for judged in one.judge(MENTIONS)]


def test_nothing_and_everything() -> None:
    """Chance 0 flags nothing, 1 all; what is no chance is refused."""
    assert not any(judged.flagged for judged in gate(0.0).judge(MENTIONS))
    assert all(judged.flagged for judged in gate(1.0).judge(MENTIONS))
    with pytest.raises(ValueError, match=r"between 0 and 1, was: 1\.5"):
        gate(1.5)


def test_the_rate_of_a_way_is_actions_by_mentions() -> None:
    """Mentions that are gone were seen too; a way that saw nothing acts never."""
    acted = outcome(flagged=1, actions={"stopped": 1}, mentions=("cat", "dog", "cat"))
    assert chance_of([acted, outcome(mentions=("cat",) * 5)]) == pytest.approx(1 / 9)
    assert chance_of([outcome(mentions=())]) == 0
