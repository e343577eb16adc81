"""What a caption's text alone says about a mention: position, repetition, how often it is wrong.

It has never seen the image or the model's inside. Later mentions and objects that models like to
make up are hallucinated more often, so this reaches an AUROC that many published detectors do not:
what a detector is worth is what it adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from scipy.interpolate import BSpline
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils import ClassifierTags, Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

Floats = npt.NDArray[np.float64]

_DEGREE: Final = 3


class TextPrior(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Logistic regression on smooth curves of position and on each object, fitted together.

    Every column but the object's becomes a cubic B-spline with knots at its quantiles, flat beyond
    the values seen; curves may go up and down. Each object has log-odds of its own, for what its
    place in the caption does not explain, shrunk towards 0; one that was not seen has 0.

    Args:
        object_column: which column holds the object's code, any number per object; ``None`` if
            none does. Negative numbers count from the end.
        knots: of each curve, at least 2; fewer where a column has fewer values.
        C: inverse strength of the L2 penalty, as in scikit-learn's ``LogisticRegression``.
        object_scale: how freely the objects' log-odds move beside the curves; below 1 they are
            shrunk more, which carries over better to other models' captions.

    Attributes:
        classes_: ``[2]``; the second is what a high score means (1, hallucinated).
        n_features_in_: number of columns.
        knots_: the knots of each curve, in the order of its columns.
        coef_: float64, of all curves one after another.
        intercept_: float.
        codes_: float64 ``[objects]``, ascending: the codes seen.
        code_log_odds_: float64 ``[objects]``: what each object adds to the log-odds.
    """

    classes_: npt.NDArray[Any]
    n_features_in_: int

    def __init__(
        self,
        *,
        object_column: int | None = 3,
        knots: int = 6,
        C: float = 1.0,  # noqa: N803 - scikit-learn's own name
        object_scale: float = 0.4,
    ) -> None:
        self.object_column = object_column
        self.knots = knots
        self.C = C
        self.object_scale = object_scale

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:  # noqa: N803
        """Fit on labelled mentions.

        Args:
            X: ``[n, columns]``, finite; by default index, word, repeats and the object's code.
            y: ``[n]``, two labels, the greater one for hallucinated.

        Raises:
            ValueError: a parameter is out of range, ``X`` is not finite or lacks the object's
                column, or ``y`` has other than two labels.
        """
        self._check()
        columns, y = self._validated(X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is "
                f"{type_of_target(y)}."
            )
        if len(self.classes_) < 2:
            raise ValueError(
                f"A prior needs real and hallucinated mentions, all {len(labels)} are of one "
                f"class: {self.classes_[0]}. Collect more captions."
            )
        column = self._column(columns)
        self.knots_ = tuple(
            _knots(values, self.knots) for at, values in enumerate(columns.T) if at != column
        )
        curves = self._curves(columns, column)
        codes = np.empty(0) if column is None else columns[:, column]
        self.codes_ = np.unique(codes)
        named = codes[:, None] == self.codes_ if column is not None else np.empty((len(labels), 0))
        design = np.hstack([curves, self.object_scale * named])
        model = LogisticRegression(C=self.C, max_iter=1000).fit(design, labels)
        self.coef_, of_objects = np.split(model.coef_[0], [curves.shape[1]])
        self.code_log_odds_ = self.object_scale * of_objects
        self.intercept_ = float(model.intercept_[0])
        self._splines = self._curves_of(self.coef_)
        return self

    def decision_function(self, X: npt.ArrayLike) -> Floats:  # noqa: N803
        """Log-odds of the greater label, float64 ``[n]``: high means hallucinated.

        Raises:
            ValueError: ``X`` is not finite or has not as many columns as in ``fit``.
        """
        check_is_fitted(self, "coef_")
        return self.log_odds(self._validated(X, reset=False))

    def log_odds(self, columns: Floats) -> Floats:
        """The same of columns that need no checking: what runs while a caption is decoded."""
        column = self._column(columns)
        score = np.full(len(columns), self.intercept_)
        smooth = [values for at, values in enumerate(columns.T) if at != column]
        for values, knots, spline in zip(smooth, self.knots_, self._splines, strict=True):
            if spline is not None:
                score += spline(np.clip(values, knots[0], knots[-1]))
        if column is not None:
            score += _look_up(columns[:, column], self.codes_, self.code_log_odds_)
        return score

    def predict_proba(self, X: npt.ArrayLike) -> Floats:  # noqa: N803
        """Probability of both labels, float64 ``[n, 2]``."""
        positive = 1 / (1 + np.exp(-np.clip(self.decision_function(X), -500, 500)))
        return np.column_stack([1 - positive, positive])

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:  # noqa: N803
        """The likelier label of each mention, ``[n]``."""
        scores = self.decision_function(X)
        labels: npt.NDArray[Any] = self.classes_[(scores > 0).astype(int)]
        return labels

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What was fitted, as plain arrays for :meth:`from_arrays`; labels become 0 and 1."""
        check_is_fitted(self, "coef_")
        column = self.object_column
        return {
            "object_column": np.array([] if column is None else [column], dtype=np.int64),
            "columns": np.array([self.n_features_in_], dtype=np.int64),
            "knots": np.concatenate([*self.knots_, np.empty(0)]),
            "knot_counts": np.array([len(knots) for knots in self.knots_], dtype=np.int64),
            "coef": self.coef_,
            "intercept": np.array([self.intercept_]),
            "codes": self.codes_,
            "code_log_odds": self.code_log_odds_,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The fitted prior that :meth:`to_arrays` described, for labels 0 and 1.

        Raises:
            ValueError: an array is missing, or they do not fit one another.
        """
        names = (
            "object_column",
            "columns",
            "knots",
            "knot_counts",
            "coef",
            "intercept",
            "codes",
            "code_log_odds",
        )
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"A prior needs the arrays {', '.join(names)}, missing: {missing}.")
        held = {name: np.asarray(arrays[name]) for name in names}
        column, counts = held["object_column"], held["knot_counts"].astype(int)
        prior = cls(object_column=int(column[0]) if column.size else None)
        prior.classes_ = np.array([0, 1])
        prior.n_features_in_ = int(held["columns"].item())
        ends = np.cumsum(counts)
        prior.knots_ = tuple(np.split(held["knots"].astype(float), ends)[:-1])
        prior.coef_ = held["coef"].astype(float)
        prior.intercept_ = float(held["intercept"].item())
        prior.codes_ = held["codes"].astype(float)
        prior.code_log_odds_ = held["code_log_odds"].astype(float)
        curves = prior.n_features_in_ - column.size
        expected = sum(_width(knots) for knots in prior.knots_)
        if (
            len(counts) != curves
            or held["knots"].size != counts.sum()
            or prior.coef_.shape != (expected,)
            or prior.codes_.shape != prior.code_log_odds_.shape
            or not all(np.isfinite(values).all() for values in held.values())
        ):
            shapes = {name: values.shape for name, values in held.items()}
            raise ValueError(
                f"The arrays of a prior must be finite and fit one another, their shapes are: "
                f"{shapes}."
            )
        prior._splines = prior._curves_of(prior.coef_)
        return prior

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)
        return tags

    def _validated(self, *data: Any, **options: Any) -> Any:
        return validate_data(self, *data, dtype=np.float64, **options)

    def _check(self) -> None:
        rules = {
            "knots": (self.knots >= 2, "at least 2"),
            "C": (self.C > 0, "positive"),
            "object_scale": (0 < self.object_scale < np.inf, "positive and finite"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"{name} must be {rule}, was: {getattr(self, name)}.")

    def _column(self, columns: Floats) -> int | None:
        """The object's column, counted from 0."""
        column, count = self.object_column, int(columns.shape[1])
        if column is None:
            return None
        if not -count <= column < count:
            raise ValueError(
                f"object_column must be one of the {count} columns of X, counted from 0, was: "
                f"{column}. Give None if X has no object codes."
            )
        return int(column % count)

    def _curves_of(self, weights: Floats) -> tuple[BSpline | None, ...]:
        """Each column's curve with its weights; ``None`` for a constant column."""
        splits = np.split(weights, np.cumsum([_width(knots) for knots in self.knots_]))
        return tuple(
            BSpline(_padded(knots), mine, _degree(knots)) if len(mine) else None
            for knots, mine in zip(self.knots_, splits, strict=False)
        )

    def _curves(self, columns: Floats, column: int | None) -> Floats:
        """All curves' basis functions side by side, ``[n, widths]``."""
        smooth = [values for at, values in enumerate(columns.T) if at != column]
        bases = [_basis(values, knots) for values, knots in zip(smooth, self.knots_, strict=True)]
        return np.hstack([np.empty((len(columns), 0)), *bases])


def _knots(values: Floats, count: int) -> Floats:
    return np.unique(np.quantile(values, np.linspace(0, 1, count)))


def _width(knots: Floats) -> int:
    """How many basis functions a curve has."""
    return 0 if len(knots) < 2 else len(knots) + _degree(knots) - 1


def _degree(knots: Floats) -> int:
    return min(_DEGREE, len(knots) - 1)


def _padded(knots: Floats) -> Floats:
    degree = _degree(knots)
    return np.pad(knots, degree, mode="edge")


def _basis(values: Floats, knots: Floats) -> Floats:
    """Clamped B-splines at the values, ``[n, width]``; a constant column has none."""
    if len(knots) < 2:
        return np.empty((len(values), 0))
    inside = np.clip(values, knots[0], knots[-1])
    return np.asarray(BSpline.design_matrix(inside, _padded(knots), _degree(knots)).toarray())


def _look_up(codes: Floats, known: Floats, log_odds: Floats) -> Floats:
    """The log-odds of each code, 0 for one that is not known."""
    if not len(known):
        return np.zeros(len(codes))
    at = np.clip(np.searchsorted(known, codes), 0, len(known) - 1)
    return np.where(known[at] == codes, log_odds[at], 0.0)
