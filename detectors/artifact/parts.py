"""Fitted classifiers taken apart into plain values and arrays, and put together again.

Nothing is pickled: a class is named and looked up in a fixed list, and attributes are set only if
that class says it has them. So the parts may come from a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from ..classifiers.estimators import MentionClassifier
from ..classifiers.fused import FusedClassifier
from ..classifiers.heads import LinearHeadsClassifier, NetworkHeadsClassifier
from ..classifiers.lens import LensClassifier
from ..classifiers.prior import PriorClassifier
from ..classifiers.residuals import PositionResiduals
from ..classifiers.svar import SvarClassifier
from ..classifiers.text import TextPrior
from ..classifiers.uncertainty import UncertaintyClassifier
from ..classifiers.wrapped import WrappedClassifier

Arrays = Mapping[str, npt.NDArray[Any]]

CLASSES: Final = MappingProxyType(
    {
        one.__name__: one
        for one in (
            FusedClassifier,
            LensClassifier,
            LinearHeadsClassifier,
            NetworkHeadsClassifier,
            PriorClassifier,
            SvarClassifier,
            UncertaintyClassifier,
            WrappedClassifier,
        )
    }
)
"""The classifiers that can be put together, by name."""


_PIECES: Final = MappingProxyType({one.__name__: one for one in (PositionResiduals, TextPrior)})
"""What classifiers are made of besides: each gives its own arrays and is made from them."""


def take_apart(
    classifier: MentionClassifier, prefix: str = ""
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """JSON values of a fitted classifier, and its arrays by name.

    Args:
        classifier: fitted on labels 0 and 1.
        prefix: begins the name of every array.
    """
    values: dict[str, Any] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    nested: dict[str, Any] = {}
    for name in classifier.fitted:
        value = getattr(classifier, name, None)
        if isinstance(value, MentionClassifier):
            nested[name], inner = take_apart(value, f"{prefix}{name}.")
            arrays.update(inner)
        elif isinstance(value, PositionResiduals | TextPrior):
            nested[name] = {"class": type(value).__name__}
            inner = value.to_arrays()
            arrays.update({f"{prefix}{name}.{key}": array for key, array in inner.items()})
        elif isinstance(value, np.ndarray):
            arrays[prefix + name] = value
        else:
            values[name] = value
    known = {
        "class": type(classifier).__name__,
        "parameters": {
            name: value
            for name, value in classifier.get_params(deep=False).items()
            # What a wrapped classifier was made from; what it has learned is in its parts.
            if not isinstance(value, BaseEstimator)
        },
        "columns": classifier.n_features_in_,
        "values": values,
        "nested": nested,
    }
    return known, arrays


def put_together(known: Mapping[str, Any], arrays: Arrays, prefix: str = "") -> MentionClassifier:
    """The classifier that :func:`take_apart` was asked of.

    Raises:
        ValueError: the class is not in :data:`CLASSES`, or a part is missing or not finite.
        KeyError: an entry is missing.
        TypeError: an entry is of another type, or a parameter is unknown.
    """
    kind = CLASSES.get(known["class"])
    if kind is None:
        raise ValueError(
            f"A classifier must be one of {', '.join(CLASSES)}, was: {known['class']!r}."
        )
    classifier: MentionClassifier = kind(**known["parameters"])
    for name in kind.fitted:
        setattr(classifier, name, _part(name, known, arrays, prefix))
    classifier.n_features_in_ = int(known["columns"])
    classifier.classes_ = np.array([0, 1])
    return classifier


def _part(name: str, known: Mapping[str, Any], arrays: Arrays, prefix: str) -> Any:
    inside = f"{prefix}{name}."
    if name in known["nested"]:
        nested = known["nested"][name]
        piece = _PIECES.get(nested["class"])
        if piece is None:
            return put_together(nested, arrays, inside)
        own = {key.removeprefix(inside): arrays[key] for key in arrays if key.startswith(inside)}
        return piece.from_arrays(own)
    if name in known["values"]:
        value = known["values"][name]
        if value is not None and not (isinstance(value, int | float) and np.isfinite(value)):
            raise ValueError(f"{prefix}{name} must be a finite number, was: {value!r}.")
        return value
    if prefix + name not in arrays:
        raise ValueError(f"The part {prefix + name!r} is missing.")
    array = arrays[prefix + name]
    if not np.isfinite(array).all():
        raise ValueError(f"Array {prefix + name!r} must be finite, is not.")
    return array
