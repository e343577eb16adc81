"""What all detectors share as scikit-learn classifiers: two classes, one score, the second high."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import ClassifierTags, Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
from threadpoolctl import threadpool_limits

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class MentionClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of mentions: of its two sorted classes the second means *hallucinated*.

    Subclasses fit themselves in ``_fit`` and score in :meth:`scores`.
    """

    fitted: ClassVar[tuple[str, ...]] = ()
    """The fitted attributes that make up the classifier: arrays, plain numbers or strings, or
    further classifiers of this kind."""

    classes_: npt.NDArray[Any]
    n_features_in_: int

    def fit(
        self,
        X: npt.ArrayLike,  # noqa: N803
        y: npt.ArrayLike,
        groups: npt.ArrayLike | None = None,
        strata: npt.ArrayLike | None = None,
    ) -> Self:
        """Learn from labelled mentions.

        Args:
            X: float ``[n, columns]``.
            y: ``[n]``, two classes.
            groups: ``[n]``, the image of each mention: whatever is chosen by cross-validation
                keeps an image's mentions together. Without it each mention stands alone.
            strata: int ``[n]``, the mention index of each, where a choice compares mentions at
                the same place. Without it all are compared.

        Raises:
            ValueError: wrong shapes, values that are not finite, or not exactly two classes.
        """
        data, y = self._validated(X, y, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            kinds = f"{len(self.classes_)} class{'es' * (len(self.classes_) != 1)}"
            raise ValueError(
                f"Only binary classification is supported: the labels must have 2 classes (real "
                f"and hallucinated), had {kinds}. Collect more captions until both occur."
            )
        rows = len(labels)
        images = np.arange(rows) if groups is None else _column(groups, rows, "groups")
        places = np.zeros(rows, np.int64) if strata is None else _column(strata, rows, "strata")
        # Fits are thousands of small products: a second thread gains little, and on busy cores
        # threads that wait for one another make a fit many times slower.
        with threadpool_limits(limits=1):
            self._fit(data, labels.astype(np.int64), groups=images, strata=places)
        return self

    @abstractmethod
    def _fit(self, X: Any, labels: Ints, *, groups: Ints, strata: Ints) -> None:  # noqa: N803
        """Learn from checked data, ``labels`` 1 for hallucinated; set what ``fitted`` names."""

    @abstractmethod
    def scores(self, X: Any) -> Floats:  # noqa: N803
        """Scores of mentions, float64 ``[n]``; high means hallucinated. Nothing is checked: this
        is what runs while a caption is being decoded."""

    def cut(self) -> float:
        """The score above which :meth:`predict` says hallucinated; log-odds are cut at 0."""
        return 0.0

    def decision_function(self, X: npt.ArrayLike) -> Floats:  # noqa: N803
        """Scores counted from :meth:`cut`, float64 ``[n]``: positive means hallucinated."""
        check_is_fitted(self)
        data = self._validated(X, reset=False)
        return self.scores(data) - self.cut()

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:  # noqa: N803
        """The class of each mention, ``[n]``."""
        chosen = (self.decision_function(X) > 0).astype(np.int64)
        labels: npt.NDArray[Any] = self.classes_[chosen]
        return labels

    def _validated(self, *data: Any, **options: Any) -> Any:
        # Who allows NaN sees to what is not finite, for infinity says no more than NaN does.
        finite = not self.__sklearn_tags__().input_tags.allow_nan
        kinds = [np.float64, np.float32]
        return validate_data(self, *data, dtype=kinds, ensure_all_finite=finite, **options)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)
        return tags


class LogOddsClassifier(MentionClassifier):
    """A classifier whose score is the log-odds that the mention is hallucinated."""

    def predict_proba(self, X: npt.ArrayLike) -> Floats:  # noqa: N803
        """Probabilities of both classes, float64 ``[n, 2]``."""
        odds = np.clip(self.decision_function(X), -500, 500)
        hallucinated = 1 / (1 + np.exp(-odds))
        return np.stack([1 - hallucinated, hallucinated], axis=1)


class DirectionClassifier(MentionClassifier):
    """A classifier whose score is fixed beforehand; only where to cut it is learned.

    The cut lies halfway between the mean scores of the two classes.
    """

    fitted: ClassVar[tuple[str, ...]] = ("cut_",)

    def cut(self) -> float:
        """Halfway between the mean scores of real and of hallucinated mentions."""
        return float(self.cut_)

    def _set_cut(self, scores: Floats, labels: Ints) -> None:
        self.cut_ = float(scores[labels == 0].mean() + scores[labels == 1].mean()) / 2

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # The score does not depend on the labels, so no accuracy can be promised.
        tags.classifier_tags = ClassifierTags(multi_class=False, poor_score=True)
        return tags


def _column(values: npt.ArrayLike, rows: int, name: str) -> npt.NDArray[Any]:
    column: npt.NDArray[Any] = column_or_1d(values)
    if len(column) != rows:
        raise ValueError(f"{name} must have one entry per mention ({rows}), had {len(column)}.")
    return column
