"""Evidence as position leaves it: what a mention's place in the caption explains is taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_KNOTS: Final = 8
_LIMIT: Final = 8.0
_LEAST_SPREAD: Final = 0.3
_RIDGE: Final = 1e-5
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class PositionResiduals:
    """Columns less their expectation at a mention's position, in units of their spread there.

    Expectations are sums of piecewise linear curves, one for each column of the position, flat
    beyond the positions seen. They are estimated with the label held fixed: hallucination may move
    a column by so many spreads, the same number at every position, and that is not taken out. Late
    mentions are hallucinated more often, and without this the difference that the image makes would
    be booked to position. So among mentions of one label the mean of a residual is the same at
    every position.

    The spread has one curve for all columns, a factor of each column's own spread: one curve for
    every column costs more in noise than it corrects. A residual is cut off at 8 spreads.

    Attributes:
        knots: float64 ``[all knots]``, those of all curves one after another.
        counts: int64 ``[position columns]``, how many knots each curve has.
        location: float64 ``[basis, columns]``.
        spread: float64 ``[basis]``, the factor.
        scale: float64 ``[columns]``, standard deviations; 1 where a column is constant.
    """

    knots: Floats
    counts: Ints
    location: Floats
    spread: Floats
    scale: Floats

    @classmethod
    def fit(cls, position: Any, columns: Any, labels: Ints) -> Self:
        """Learn what position explains.

        Args:
            position: float ``[n, position columns]``; without any, columns are standardised.
            columns: float ``[n, columns]``, finite.
            labels: ``[n]``, 1 for hallucinated.
        """
        quantiles = np.linspace(0, 1, _KNOTS)
        knots = [np.unique(np.quantile(column, quantiles)) for column in position.T]
        counts = np.array([len(some) for some in knots], dtype=np.int64)
        flat = np.concatenate([*knots, np.zeros(0)]).astype(np.float64)
        basis = _basis(position, flat, counts)
        kind = columns.dtype
        # Centred, so that the ridge draws towards each column's mean and not towards 0.
        centre = columns.mean(axis=0, dtype=np.float64)
        centred = columns - centre.astype(kind)
        # What is left of a constant after rounding is no spread.
        moving = np.abs(centred).max(axis=0) > 1e-6 * np.maximum(1, np.abs(centre))
        # The label's effect is taken to be so many spreads at every position, so the spread has to
        # be known first: it settles within a few rounds.
        spread: Floats = np.eye(basis.shape[1])[0]
        location, rest = _location(basis, centred, labels, _factor(basis, spread))
        for _ in range(_ROUNDS - 1):
            spread = _spread(basis, rest[:, moving])
            location, rest = _location(basis, centred, labels, _factor(basis, spread))
        units = rest / _factor(basis, spread).astype(kind)[:, None]
        scale = np.sqrt((units**2).mean(axis=0, dtype=np.float64))
        location[0] += centre
        return cls(flat, counts, location, spread, np.where(moving, scale, 1.0))

    def __call__(self, position: Any, columns: Any) -> Any:
        """Residuals ``[n, columns]``, without unit, in the dtype of ``columns``.

        Args:
            position: float ``[n, position columns]``.
            columns: float ``[n, columns]``.
        """
        return self.at(self.basis(position), columns)

    def at(self, basis: Floats, columns: Any) -> Any:
        """The same of mentions whose :meth:`basis` is known."""
        kind = columns.dtype
        rest = columns - basis.astype(kind) @ self.location.astype(kind, copy=False)
        rest /= (_factor(basis, self.spread)[:, None] * self.scale).astype(kind)
        return np.clip(rest, -_LIMIT, _LIMIT, out=rest)

    def basis(self, position: Any) -> Floats:
        """A constant, and how near mentions are to every knot, float64 ``[n, 1 + all knots]``:
        with weights, a sum of piecewise linear curves, as smooth in position as what is taken out
        here.

        Args:
            position: float ``[n, position columns]``.
        """
        return _basis(position, self.knots, self.counts)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All there is to know, for :meth:`from_arrays`."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """What :meth:`to_arrays` described.

        Raises:
            ValueError: an array is missing, not finite, or they do not fit one another.
        """
        names = [one.name for one in fields(cls)]
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"Residuals need the arrays {', '.join(names)}, missing: {missing}.")
        made = cls(*(arrays[name] for name in names))
        width = 1 + int(made.counts.sum())
        if (
            made.knots.shape != (width - 1,)
            or made.location.ndim != 2
            or len(made.location) != width
            or made.spread.shape != (width,)
            or made.scale.shape != made.location.shape[1:]
            or not all(np.isfinite(array).all() for array in made.to_arrays().values())
        ):
            shapes = {name: array.shape for name, array in made.to_arrays().items()}
            raise ValueError(
                f"The arrays of residuals must be finite and fit one another, were: {shapes}."
            )
        return made


def _basis(position: Any, knots: Floats, counts: Ints) -> Floats:
    """A constant, and a tent over every knot, ``[n, 1 + all knots]``."""
    parts = [np.ones((len(position), 1))]
    start = 0
    for column, count in zip(position.T, counts.tolist(), strict=True):
        places = np.arange(count, dtype=np.float64)
        at = np.interp(column, knots[start : start + count], places)
        parts.append(np.maximum(0, 1 - np.abs(at[:, None] - places)))
        start += count
    return np.hstack(parts)


def _factor(basis: Floats, spread: Floats) -> Floats:
    return np.maximum(basis @ spread, _LEAST_SPREAD)


def _location(
    basis: Floats, columns: Any, labels: Ints, factor: Floats
) -> tuple[Floats, npt.NDArray[Any]]:
    """Coefficients ``[basis, columns]``, and how far each mention is from the mean of its label at
    its position, ``[n, columns]``."""
    design: Floats = np.column_stack([basis, (labels - 0.5) * factor])
    found = _least_squares(design, columns, 1 / factor**2)
    rest = columns - design.astype(columns.dtype) @ found.astype(columns.dtype)
    return found[:-1], np.abs(rest)


def _spread(basis: Floats, rest: Any) -> Floats:
    """Coefficients ``[basis]`` of how far mentions are off, relative to each column's average."""
    if not rest.shape[1]:
        return np.asarray(np.eye(basis.shape[1])[0])
    mean = rest.mean(axis=0, dtype=np.float64).astype(rest.dtype)
    relative = (rest / mean).mean(axis=1, dtype=np.float64)
    return _least_squares(basis, relative[:, None], np.ones(len(rest)))[:, 0]


def _least_squares(design: Floats, columns: Any, weights: Floats) -> Floats:
    """Coefficients ``[design columns, columns]``, rows weighted, with just enough ridge to be
    defined: the tents of one curve add up to the constant."""
    weighted = design * (weights / weights.mean())[:, None]
    gram = weighted.T @ design + _RIDGE * len(design) * np.eye(design.shape[1])
    right = (weighted.T.astype(columns.dtype) @ columns).astype(np.float64)
    return np.asarray(np.linalg.solve(gram, right))
