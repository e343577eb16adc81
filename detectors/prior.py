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
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils import ClassifierTags, Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

Floats = npt.NDArray[np.float64]

_DEGREE: Final = 3
_FOLDS: Final = 5


class TextPrior(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Logistic regression on smooth curves of position and on each object's own rate.

    Every column but the object's becomes a cubic B-spline with knots at its quantiles, flat beyond
    the values seen; curves may go up and down. An object's rate of hallucination is shrunk towards
    the overall rate and enters as log-odds, cross-fitted so that a mention never tells its own
    label; an object that was not seen counts as an average one.

    Args:
        object_column: which column holds the object's code, any number per object; ``None`` if
            none does. Negative numbers count from the end.
        knots: of each curve, at least 2; fewer where a column has fewer values.
        shrinkage: how many average mentions every object is taken to have had besides its own.
        C: inverse strength of the L2 penalty, as in scikit-learn's ``LogisticRegression``.
        seed: of the folds.

    Attributes:
        classes_: ``[2]``; the second is what a high score means (1, hallucinated).
        n_features_in_: number of columns.
        knots_: the knots of each curve, in the order of its columns.
        coef_: float64, of all curves one after another, then of the object's log-odds.
        intercept_: float.
        codes_: float64 ``[objects]``, ascending: the codes seen.
        code_log_odds_: float64 ``[objects]``: log-odds of each object less those of all.
    """

    classes_: npt.NDArray[Any]
    n_features_in_: int

    def __init__(
        self,
        *,
        object_column: int | None = 3,
        knots: int = 6,
        shrinkage: float = 10.0,
        C: float = 1.0,  # noqa: N803 - scikit-learn's own name
        seed: int = 0,
    ) -> None:
        self.object_column = object_column
        self.knots = knots
        self.shrinkage = shrinkage
        self.C = C
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> Self:  # noqa: N803
        """Fit on labelled mentions.

        Args:
            X: ``[n, columns]``, finite; by default index, word, repeats and the object's code.
            y: ``[n]``, two labels, the greater one for hallucinated.
            groups: ``[n]``, the image of each mention. With them no mention tells the rate of
                another mention of its own image, whose label is often the same.

        Raises:
            ValueError: a parameter is out of range, ``X`` is not finite or lacks the object's
                column, ``y`` has other than two labels, or there is only one image.
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
        parts = self._curves(columns, column)
        self.codes_, self.code_log_odds_ = np.empty(0), np.empty(0)
        if column is not None:
            codes, truth = columns[:, column], labels.astype(float)
            self.codes_, self.code_log_odds_ = self._rates(codes, truth)
            out_of_fold = np.zeros(len(codes))
            for rest, held in self._folds(len(codes), groups):
                known, odds = self._rates(codes[rest], truth[rest])
                out_of_fold[held] = _look_up(codes[held], known, odds)
            parts.append(out_of_fold[:, None])
        design = np.hstack(parts)
        model = LogisticRegression(C=self.C, max_iter=1000).fit(design, labels)
        self.coef_ = model.coef_[0]
        self.intercept_ = float(model.intercept_[0])
        return self

    def decision_function(self, X: npt.ArrayLike) -> Floats:  # noqa: N803
        """Log-odds of the greater label, float64 ``[n]``: high means hallucinated.

        Raises:
            ValueError: ``X`` is not finite or has not as many columns as in ``fit``.
        """
        check_is_fitted(self, "coef_")
        columns: Floats = self._validated(X, reset=False)
        column = self._column(columns)
        parts = self._curves(columns, column)
        if column is not None:
            parts.append(_look_up(columns[:, column], self.codes_, self.code_log_odds_)[:, None])
        score = np.full(len(columns), self.intercept_)
        done = 0
        for part in parts:
            # Summed term by term: BLAS rounds a row differently in batches of different size.
            score += np.einsum("ij,j->i", part, self.coef_[done : done + part.shape[1]])
            done += part.shape[1]
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
        expected = sum(_width(knots) for knots in prior.knots_) + column.size
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
            "shrinkage": (0 < self.shrinkage < np.inf, "positive and finite"),
            "C": (self.C > 0, "positive"),
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

    def _curves(self, columns: Floats, column: int | None) -> list[Floats]:
        smooth = [values for at, values in enumerate(columns.T) if at != column]
        return [_basis(values, knots) for values, knots in zip(smooth, self.knots_, strict=True)]

    def _rates(self, codes: Floats, truth: Floats) -> tuple[Floats, Floats]:
        """Each code and its shrunk log-odds, less those of all."""
        known, which = np.unique(codes, return_inverse=True)
        overall = (truth.sum() + 0.5) / (len(truth) + 1)
        wrong = np.bincount(which, truth, len(known)) + self.shrinkage * overall
        rate = wrong / (np.bincount(which, minlength=len(known)) + self.shrinkage)
        return known, _logit(rate) - _logit(overall)

    def _folds(self, count: int, groups: npt.ArrayLike | None) -> Any:
        if groups is None:
            folds = min(_FOLDS, count)
            return KFold(folds, shuffle=True, random_state=self.seed).split(np.empty(count))
        images = np.asarray(groups)
        check_consistent_length(images, np.empty(count))
        folds = min(_FOLDS, len(np.unique(images)))
        if folds < 2:
            raise ValueError("A prior needs mentions of at least 2 images, all are of one.")
        split = GroupKFold(folds, shuffle=True, random_state=self.seed)
        return split.split(np.empty(count), groups=images)


def _logit(probability: npt.ArrayLike) -> Floats:
    p = np.asarray(probability, dtype=float)
    return np.asarray(np.log(p / (1 - p)))


def _knots(values: Floats, count: int) -> Floats:
    return np.unique(np.quantile(values, np.linspace(0, 1, count)))


def _width(knots: Floats) -> int:
    """How many basis functions a curve has."""
    return 0 if len(knots) < 2 else len(knots) + min(_DEGREE, len(knots) - 1) - 1


def _basis(values: Floats, knots: Floats) -> Floats:
    """Clamped B-splines at the values, ``[n, width]``; a constant column has none."""
    if len(knots) < 2:
        return np.empty((len(values), 0))
    degree = min(_DEGREE, len(knots) - 1)
    padded = np.r_[[knots[0]] * degree, knots, [knots[-1]] * degree]
    inside = np.clip(values, knots[0], knots[-1])
    return np.asarray(BSpline.design_matrix(inside, padded, degree).toarray())


def _look_up(codes: Floats, known: Floats, log_odds: Floats) -> Floats:
    """The log-odds of each code, 0 for one that is not known."""
    if not len(known):
        return np.zeros(len(codes))
    at = np.clip(np.searchsorted(known, codes), 0, len(known) - 1)
    return np.where(known[at] == codes, log_odds[at], 0.0)
