"""What position explains is taken out, and what the label explains is left in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sightline.detectors.classifiers.residuals import PositionResiduals


def _made(count: int, seed: int) -> tuple[Any, Any, Any]:
    """Position, two columns that follow it (one with the label in it), labels that follow it."""
    rng = np.random.default_rng(seed)
    position = rng.integers(0, 10, (count, 1)).astype(float)
    at = position[:, 0]
    labels = (rng.random(count) < (1 + at) / 12).astype(np.int64)
    wide = 0.5 + at / 5
    blind = np.sqrt(at) + wide * rng.normal(size=count)
    seeing = 0.3 * at - 2 * labels * wide + wide * rng.normal(size=count)
    return position, np.stack([blind, seeing], axis=1), labels


def test_mean_and_spread_no_longer_depend_on_position() -> None:
    """At every position real mentions have the same mean and spread, on mentions not seen."""
    found = PositionResiduals.fit(*_made(30000, 0))
    position, columns, labels = _made(30000, 1)
    residuals = found(position, columns)
    real = [residuals[(position[:, 0] == at) & (labels == 0)] for at in range(10)]
    means = np.array([some.mean(axis=0) for some in real])
    spreads = np.array([some.std(axis=0) for some in real])
    assert np.ptp(means[:, 0]) < 0.2
    assert np.ptp(means[:, 1]) < 0.4
    assert np.ptp(spreads, axis=0).max() < 0.2
    raw = [columns[(position[:, 0] == at) & (labels == 0)].mean(axis=0) for at in range(10)]
    assert np.ptp(raw, axis=0).min() > 2.5


def test_what_the_label_does_is_not_put_down_to_position() -> None:
    """Hallucinations are late, and lower the second column by two spreads everywhere: they still
    do when position is taken out, at the first position as at the last."""
    position, columns, labels = _made(30000, 2)
    residuals = PositionResiduals.fit(position, columns, labels)(position, columns)[:, 1]
    for at in (0, 5, 9):
        here = position[:, 0] == at
        gap = residuals[here & (labels == 1)].mean() - residuals[here & (labels == 0)].mean()
        assert -2.3 < gap < -1.5, at


def test_positions_beyond_those_seen_count_as_the_last() -> None:
    """A longer caption than any that was fitted is not extrapolated to."""
    position, columns, labels = _made(2000, 3)
    found = PositionResiduals.fit(position, columns, labels)
    one = columns[:1]
    np.testing.assert_array_equal(found(np.array([[500.0]]), one), found(np.array([[9.0]]), one))


def test_without_position_columns_are_standardised() -> None:
    """Half the effect of a label on either side of 0, and a spread of 1 within labels."""
    _, columns, labels = _made(2000, 4)
    found = PositionResiduals.fit(np.zeros((2000, 0)), columns, labels)
    residuals = found(np.zeros((2000, 0)), columns)
    for label in (0, 1):
        assert residuals[labels == label].std(axis=0) == pytest.approx([1, 1], abs=0.35)
    middle = (residuals[labels == 0].mean(axis=0) + residuals[labels == 1].mean(axis=0)) / 2
    np.testing.assert_allclose(middle, 0, atol=1e-3)


def test_a_constant_column_and_a_far_one_do_no_harm() -> None:
    """A head that never looks has residual 0; a value far outside is cut off."""
    position, columns, labels = _made(500, 5)
    flat = np.hstack([columns, np.full((500, 1), -9.21)])
    found = PositionResiduals.fit(position, flat, labels)
    residuals = found(position, flat)
    assert np.isfinite(residuals).all()
    assert np.abs(residuals[:, 2]).max() < 1e-2
    assert found(position[:1], flat[:1] + 1e6)[0].tolist() == [8, 8, 8]


def test_the_dtype_is_kept() -> None:
    """Large tables stay in float32."""
    position, columns, labels = _made(500, 6)
    single = columns.astype(np.float32)
    found = PositionResiduals.fit(position, single, labels)
    assert found(position, single).dtype == np.float32
    np.testing.assert_allclose(found(position, single), found(position, columns), atol=1e-3)


def test_arrays_give_it_back() -> None:
    """To the bit; and arrays that do not fit one another are refused."""
    position, columns, labels = _made(500, 7)
    found = PositionResiduals.fit(position, columns, labels)
    arrays = found.to_arrays()
    again = PositionResiduals.from_arrays(arrays)
    np.testing.assert_array_equal(again(position, columns), found(position, columns))
    for name in arrays:
        with pytest.raises(ValueError, match="fit one another"):
            PositionResiduals.from_arrays({**arrays, name: arrays[name][..., :-1]})
        with pytest.raises(ValueError, match=f"missing: \\['{name}'\\]"):
            PositionResiduals.from_arrays({k: v for k, v in arrays.items() if k != name})
    with pytest.raises(ValueError, match="must be finite"):
        PositionResiduals.from_arrays({**arrays, "scale": arrays["scale"] * np.nan})
