"""A scikit-learn classifier of one's own as a classifier of mentions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone

from ..artifact.foreign import from_skops, to_skops
from .estimators import Floats, Ints, LogOddsClassifier


class WrappedClassifier(LogOddsClassifier):
    """Log-odds by any classifier that may travel; see :data:`~.foreign.ESTIMATORS`.

    Example::

        mine = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis())
        scorer = Detector("mine", ("position", "masses"), WrappedClassifier(mine))
        scorer = scorer.fit(mentions, labels, images)

    Args:
        estimator: with ``predict_proba``, not yet fitted.

    Attributes:
        skops_: uint8 ``[bytes]``, the fitted estimator as a skops file; an artifact keeps it as a
            file of its own.
    """

    fitted: ClassVar[tuple[str, ...]] = ("skops_",)

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def _fit(self, X: Any, labels: Ints, *, groups: Ints, strata: Ints) -> None:  # noqa: N803
        if self.estimator is None:
            raise ValueError("A wrapped classifier needs a scikit-learn classifier, got None.")
        model: Any = clone(self.estimator)
        self.skops_ = np.frombuffer(to_skops(model.fit(X, labels)), dtype=np.uint8)

    def scores(self, X: Any) -> Floats:  # noqa: N803
        """Log-odds, float64 ``[n]``, at most about 34 in size."""
        if not len(X):
            return np.zeros(0)
        both = np.asarray(self._model().predict_proba(X), dtype=np.float64)
        least = np.finfo(np.float64).eps
        hallucinated = np.clip(both[:, 1], least, 1 - least)
        return np.asarray(np.log(hallucinated / (1 - hallucinated)))

    def _model(self) -> Any:
        """The estimator, built from its bytes once."""
        built = self.__dict__.get("_built")
        if built is None or built[0] is not self.skops_:
            built = (self.skops_, from_skops(self.skops_.tobytes()))
            self._built = built
        return built[1]
