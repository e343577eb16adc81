"""Every classifier obeys scikit-learn's rules, and the house's: the second class scores high."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sightline.detectors.classifiers.estimators import MentionClassifier
from sightline.detectors.classifiers.fused import FusedClassifier
from sightline.detectors.classifiers.heads import LinearHeadsClassifier, NetworkHeadsClassifier
from sightline.detectors.classifiers.lens import LensClassifier
from sightline.detectors.classifiers.prior import PriorClassifier
from sightline.detectors.classifiers.svar import SvarClassifier
from sightline.detectors.classifiers.uncertainty import UncertaintyClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

ALL: list[MentionClassifier] = [
    SvarClassifier(),
    SvarClassifier(choose=False),
    UncertaintyClassifier(),
    UncertaintyClassifier(rising=False),
    LensClassifier(),
    LinearHeadsClassifier(),
    NetworkHeadsClassifier(hidden=16, epochs=60),
    PriorClassifier(),
    FusedClassifier(),
    FusedClassifier(text=1),
]


@parametrize_with_checks(ALL)  # type: ignore[untyped-decorator]
def test_common_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    """What scikit-learn asks of every classifier."""
    check(estimator)


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_one_class_is_refused(estimator: MentionClassifier) -> None:
    """Nothing can be learned of hallucination where there is none; the error says what to do."""
    with pytest.raises(ValueError, match="had 1 class\\. Collect more captions"):
        estimator.fit(np.eye(3), [0, 0, 0])


def test_groups_must_fit() -> None:
    """One image per mention, or the images were of another table."""
    with pytest.raises(ValueError, match=r"groups must have one entry per mention \(4\), had 3"):
        SvarClassifier().fit(np.eye(4), [0, 1, 0, 1], groups=[1, 2, 3])
