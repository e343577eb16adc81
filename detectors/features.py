"""Named features of mentions: the same functions for one mention online and for a whole table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from .evidence import IMAGE, SEGMENTS
from .mentions import Mentions, Timing

Matrix = npt.NDArray[np.float32]

FLOOR: Final = 1e-4
"""Added to an attention mass before its logarithm. Smaller masses are noise of half-precision
attention, and the logarithm of an exact 0 would be no number."""

UNKNOWN: Final = -1
"""Code of an object that the vocabulary does not hold."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One named group of columns.

    Columns are NaN exactly where the evidence is: nothing is imputed here. Detectors refuse to be
    fitted on NaN and give no score for it, except in features marked ``optional``.

    Attributes:
        name: what detectors and artifacts call it.
        columns: the names of its columns, from the layers and the number of heads.
        values: float32 ``[n, columns]`` of ``n`` mentions, given the vocabulary of objects.
        timing: the latest row that it reads.
        layered: whether it reads attention, so that its columns depend on the layers watched.
        optional: whether it may be unknown; NaN then carries no information.
        remedy: how to record it, said where it is missing.
    """

    name: str
    columns: Callable[[Sequence[int], int], tuple[str, ...]]
    values: Callable[[Mentions, Sequence[str]], Matrix]
    timing: Timing = "predicting"
    layered: bool = False
    optional: bool = False
    remedy: str = "Load the model in bfloat16 or float32, or drop these mentions."


def matrix(mentions: Mentions, names: Sequence[str], vocabulary: Sequence[str] = ()) -> Matrix:
    """Some features side by side, float32 ``[n, columns]``, NaN where the evidence is.

    Args:
        mentions: ``n`` mentions.
        names: keys of :data:`FEATURES`, in order.
        vocabulary: the objects that the feature ``object`` has codes for, in order.

    Raises:
        ValueError: there is no feature of that name.
    """
    return np.hstack([feature(name).values(mentions, vocabulary) for name in names])


def columns(names: Sequence[str], layers: Sequence[int], heads: int) -> tuple[str, ...]:
    """The names of the columns of :func:`matrix`, in order.

    Raises:
        ValueError: there is no feature of that name.
    """
    return tuple(column for name in names for column in feature(name).columns(layers, heads))


def feature(name: str) -> Feature:
    """The feature of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in FEATURES:
        raise ValueError(f"A feature must be one of {', '.join(FEATURES)}, was: {name!r}.")
    return FEATURES[name]


def _position(mentions: Mentions, _: Sequence[str]) -> Matrix:
    return np.stack([mentions.index, mentions.word, mentions.repeats], axis=1).astype(np.float32)


def _object(mentions: Mentions, vocabulary: Sequence[str]) -> Matrix:
    code = {name: number for number, name in enumerate(vocabulary)}
    codes = [code.get(name, UNKNOWN) for name in mentions.object.tolist()]
    return np.array(codes, dtype=np.float32)[:, None]


def _svar_layers(mentions: Mentions, _: Sequence[str]) -> Matrix:
    return np.asarray(mentions.masses[..., IMAGE].mean(axis=-1), dtype=np.float32)


def _log(masses: npt.NDArray[np.float32]) -> Matrix:
    # Reshaped by count: with no mentions, -1 would be ambiguous.
    width = int(np.prod(masses.shape[1:]))
    flat = masses.astype(np.float32, copy=False).reshape(len(masses), width)
    return np.asarray(np.log(flat + np.float32(FLOOR)))


def _single(name: str) -> Callable[[Mentions, Sequence[str]], Matrix]:
    def values(mentions: Mentions, _: Sequence[str]) -> Matrix:
        return np.asarray(getattr(mentions, name), dtype=np.float32)[:, None]

    return values


def _fixed(*names: str) -> Callable[[Sequence[int], int], tuple[str, ...]]:
    return lambda layers, heads: names


def _per_head(stem: str) -> Callable[[Sequence[int], int], tuple[str, ...]]:
    return lambda layers, heads: tuple(f"{stem} {la}.{he}" for la in layers for he in range(heads))


def _per_segment(stem: str) -> Callable[[Sequence[int], int], tuple[str, ...]]:
    return lambda layers, heads: tuple(
        f"{stem} {la}.{he} {segment}"
        for la in layers
        for he in range(heads)
        for segment in SEGMENTS
    )


_LENS: Final = "Record it with the logit lens: calibrate collect --lens, or lens=True in watch()."

_ALL: Final = (
    Feature("position", _fixed("index", "word", "repeats"), _position),
    Feature("object", _fixed("object"), _object),
    Feature(
        "svar-layers",
        lambda layers, heads: tuple(f"mean VAR {layer}" for layer in layers),
        _svar_layers,
        layered=True,
    ),
    Feature(
        "var",
        _per_head("log VAR"),
        lambda mentions, _: _log(mentions.masses[..., IMAGE]),
        layered=True,
    ),
    Feature(
        "masses",
        _per_segment("log mass"),
        lambda mentions, _: _log(mentions.masses),
        layered=True,
    ),
    Feature(
        "naming-masses",
        _per_segment("naming log mass"),
        lambda mentions, _: _log(mentions.naming),
        timing="naming",
        layered=True,
        optional=True,
    ),
    Feature("log-prob", _fixed("log-prob"), _single("log_prob")),
    Feature("entropy", _fixed("entropy"), _single("entropy")),
    Feature("margin", _fixed("margin"), _single("margin")),
    Feature("confidence", _fixed("confidence"), _single("confidence"), remedy=_LENS),
)

FEATURES: Final = MappingProxyType({one.name: one for one in _ALL})
"""Every feature by name.

``position``: mention index, words before, repetitions. ``object``: code in the vocabulary,
:data:`UNKNOWN` outside it. ``svar-layers``: VAR's mean over heads, by layer (Jiang et al., arXiv
2411.16724, the terms of SVAR). ``var``: log(VAR + :data:`FLOOR`) by layer and head (Eq. 1).
``masses``, ``naming-masses``: the same of all four segments, of the predicting and of the naming
row. ``log-prob``, ``entropy``, ``margin``: nats, of the first sub-token. ``confidence``: by logit
lens (Eq. 2).
"""
