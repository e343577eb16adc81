"""The detectors by name: what each reads, and with which classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from .classifiers.fused import FusedClassifier
from .classifiers.heads import LinearHeadsClassifier, NetworkHeadsClassifier
from .classifiers.lens import LensClassifier
from .classifiers.prior import PriorClassifier
from .classifiers.svar import SvarClassifier
from .classifiers.uncertainty import UncertaintyClassifier
from .detector import Detector
from .svar import LayerRange

_TEXT: Final = ("position", "object")
_SEEN: Final = ("masses", "log-prob", "entropy", "margin")

_MAKERS: Final[Mapping[str, Callable[[], Detector]]] = MappingProxyType(
    {
        "svar": lambda: Detector("svar", ("svar-layers",), SvarClassifier()),
        "prior": lambda: Detector("prior", _TEXT, PriorClassifier()),
        "heads-linear": lambda: Detector("heads-linear", ("var",), LinearHeadsClassifier()),
        "heads-mlp": lambda: Detector("heads-mlp", ("var",), NetworkHeadsClassifier()),
        "lens": lambda: Detector("lens", ("confidence",), LensClassifier()),
        "entropy": lambda: Detector("entropy", ("entropy",), UncertaintyClassifier()),
        "log-prob": lambda: Detector("log-prob", ("log-prob",), UncertaintyClassifier(False)),
        "margin": lambda: Detector("margin", ("margin",), UncertaintyClassifier(False)),
        "fused": lambda: Detector("fused", (*_TEXT, *_SEEN), FusedClassifier(text=4)),
        "fused-naming": lambda: Detector(
            "fused-naming", (*_TEXT, *_SEEN, "naming-masses"), FusedClassifier(text=4)
        ),
    }
)

DETECTORS: Final = tuple(_MAKERS)
"""The names that :func:`detector` knows."""


def detector(name: str, *, layers: LayerRange | None = None) -> Detector:
    """A detector of that name, not yet fitted.

    Args:
        name: one of :data:`DETECTORS`.
        layers: the decoder layers to use; without it all that were watched, and SVAR chooses its
            range among them.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in _MAKERS:
        raise ValueError(f"A detector must be one of {', '.join(DETECTORS)}, was: {name!r}.")
    made = _MAKERS[name]()
    if layers is None:
        return made
    if isinstance(made.estimator, SvarClassifier):
        made = replace(made, estimator=SvarClassifier(choose=False))
    return replace(made, layers=layers.layers)
