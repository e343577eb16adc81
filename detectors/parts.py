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

from .estimators import MentionClassifier
from .heads import LinearHeadsClassifier
from .lens import LensClassifier
from .svar_classifier import SvarClassifier
from .uncertainty import UncertaintyClassifier

Arrays = Mapping[str, npt.NDArray[Any]]

CLASSES: Final = MappingProxyType(
    {
        one.__name__: one
        for one in (
            LensClassifier,
            LinearHeadsClassifier,
            SvarClassifier,
            UncertaintyClassifier,
        )
    }
)
"""The classifiers that can be put together, by name."""


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
        value = getattr(classifier, name)
        if isinstance(value, MentionClassifier):
            nested[name], inner = take_apart(value, f"{prefix}{name}.")
            arrays.update(inner)
        elif isinstance(value, np.ndarray):
            arrays[prefix + name] = value
        else:
            values[name] = value
    parameters = {
        name: value
        for name, value in classifier.get_params(deep=False).items()
        if not isinstance(value, MentionClassifier)
    }
    known = {
        "class": type(classifier).__name__,
        "parameters": parameters,
        "columns": classifier.n_features_in_,
        "values": values,
        "nested": nested,
    }
    return known, arrays


def put_together(known: Mapping[str, Any], arrays: Arrays, prefix: str = "") -> MentionClassifier:
    """The classifier that :func:`take_apart` was asked of.

    Raises:
        ValueError: the class is not in :data:`CLASSES`, or a part is missing or not finite.
    """
    kind = CLASSES.get(known["class"])
    if kind is None:
        raise ValueError(
            f"A classifier must be one of {', '.join(CLASSES)}, was: {known['class']!r}."
        )
    classifier = kind(**known["parameters"])
    for name in kind.fitted:
        if name in known["nested"]:
            inner = known["nested"][name]
            setattr(classifier, name, put_together(inner, arrays, f"{prefix}{name}."))
        elif name in known["values"]:
            setattr(classifier, name, known["values"][name])
        elif prefix + name in arrays:
            array = arrays[prefix + name]
            if not np.isfinite(array).all():
                raise ValueError(f"Array {prefix + name} of a classifier must be finite, is not.")
            setattr(classifier, name, array)
        else:
            raise ValueError(
                f"{kind.__name__} must have the part {name!r}, which is missing. The state was "
                f"changed: fit it anew."
            )
    classifier.n_features_in_ = int(known["columns"])
    classifier.classes_ = np.array([0, 1])
    return classifier
