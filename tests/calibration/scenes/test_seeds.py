"""The splits of the small world do not touch."""

from __future__ import annotations

from itertools import combinations

import pytest
from sightline.calibration.scenes.seeds import SPLITS, seeds, split_of


def test_splits_are_disjoint() -> None:
    """No scene belongs to two splits."""
    for (_, a), (_, b) in combinations(SPLITS.items(), 2):
        assert a.stop <= b.start or b.stop <= a.start


@pytest.mark.parametrize("split", SPLITS)
def test_seeds_belong_to_their_split(split: str) -> None:
    """The seeds handed out for a split are the split's, in order, without overlap."""
    first, second = seeds(split, 10), seeds(split, 10, start=10)
    assert {split_of(seed) for seed in [*first, *second]} == {split}
    assert not set(first) & set(second)


def test_unknown_split_is_refused() -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(ValueError, match=r"train, calibration, development, test.*'tset'"):
        seeds("tset", 1)


def test_negative_count_is_refused() -> None:
    """A negative count names itself."""
    with pytest.raises(ValueError, match=r"negative, were: -3"):
        seeds("test", -3)


def test_more_than_a_split_holds_is_refused() -> None:
    """A count that would spill into the next split is refused, not wrapped."""
    with pytest.raises(ValueError, match=r"'samples' holds 100 scenes, asked for 101"):
        seeds("samples", 101)


def test_seed_outside_every_split_is_refused() -> None:
    """A seed that belongs to nobody is refused."""
    with pytest.raises(ValueError, match=r"was: -1"):
        split_of(-1)
