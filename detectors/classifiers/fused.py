"""Prior times evidence: what the text makes likely, corrected by what the model saw."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
from sklearn.utils import Tags

from .estimators import Floats, Ints, LogOddsClassifier
from .logistic import fit_logistic_by_group, grouped_folds
from .prior import OBJECT, PriorClassifier
from .residuals import PositionResiduals

_EASE: Final = 3.0
"""How much cheaper than evidence the correction is to the penalty: a knot or an object concerns few
mentions, which alone would keep its weight near 0."""


class FusedClassifier(LogOddsClassifier):
    """Log-odds of hallucination, factorised into a text-only prior and an evidence term.

    By Bayes' rule the log-odds of a mention with text ``t`` (its place in the caption, repetition,
    object) and evidence ``e`` (attention, confidence) are ``prior(t) + log p(e | t, hallucinated)
    - log p(e | t, real)``. The two terms are learned apart:

    - the prior from the text columns alone
      (:class:`~sightline.detectors.classifiers.text.TextPrior`);
    - the evidence term as a linear function of the evidence's *residuals*: each column less its
      expectation at that place in the caption, in units of its spread there
      (:class:`~sightline.detectors.classifiers.residuals.PositionResiduals`). Its weights are
      those of a ridge logistic regression with the prior's log-odds as a fixed offset, so they have
      to explain what the prior leaves open. Offsets are cross-fitted by image, so that they do not
      know the labels they are offset for; the penalty is chosen with images held out whole;
    - a correction of the prior, a curve of position and a number for each object, is learned in
      the same regression. The evidence tells more at some places and of some objects than of
      others; with the correction, the sum is right on average at each place and for each object.

    So position cannot masquerade as vision. The evidence term never sees position, and among
    mentions of one label its mean is the same at every position: attention that only counts words
    adds nothing. Should captions elsewhere be longer, the text's part moves and the evidence term
    does not.

    Columns that may be unknown (the naming row) have residuals of their own; where one of them is
    not finite, all of them count as 0: no information.

    Args:
        text: how many leading columns of ``X`` are the text's: index, word, repeats and the
            object's code, in this order. With 0 there is no prior but the base rate, which is part
            of the evidence term.
        optional: how many trailing columns of ``X`` may be unknown.

    Attributes:
        prior_: the prior; not there if ``text`` is 0.
        residuals_: of the evidence that is always known.
        optional_residuals_: of the evidence that may be unknown; not there if ``optional`` is 0.
        coef_: float64 ``[evidence columns]``, of residuals.
        text_coef_: float64 ``[knots and objects]``, the correction of the prior.
        codes_: float64 ``[objects]``, ascending: the codes of the objects it corrects.
        intercept_: in nats.
        penalty_: the ridge penalty chosen.

    Source: Jiang et al., arXiv 2411.16724, for attention as evidence; that it is confounded with
    position, and that the prior should be a factor of its own, is the finding of HaloProbe. The
    estimation by residuals and offset is this library's.
    """

    fitted: ClassVar[tuple[str, ...]] = (
        "prior_",
        "residuals_",
        "optional_residuals_",
        "coef_",
        "text_coef_",
        "codes_",
        "intercept_",
        "penalty_",
    )

    def __init__(self, text: int = 0, optional: int = 0) -> None:
        self.text = text
        self.optional = optional

    def _fit(self, X: Any, labels: Ints, *, groups: Ints, strata: Ints) -> None:  # noqa: N803
        width = X.shape[1]
        most = min(width, OBJECT + 1)
        if not 0 <= self.text <= most:
            raise ValueError(f"text must be between 0 and {most} (inclusive), was: {self.text}.")
        if not 0 <= self.optional <= width - self.text:
            raise ValueError(
                f"optional must be between 0 and {width - self.text} (inclusive), the columns "
                f"after the text's, was: {self.optional}."
            )
        text, always, sometimes = self._parts(X)
        if not (np.isfinite(text).all() and np.isfinite(always).all()):
            raise ValueError(
                f"Input X contains NaN or infinity; only its last {self.optional} columns may."
            )
        offset = np.zeros(len(X))
        if self.text:
            offset = _cross_fitted(text, labels, groups)
            self.prior_ = PriorClassifier().fit(text, labels, groups=groups)
        self.residuals_ = PositionResiduals.fit(text[:, :OBJECT], always, labels)
        if self.optional:
            known = np.isfinite(sometimes).all(axis=1)
            if len(np.unique(labels[known])) < 2:
                raise ValueError(
                    f"The last {self.optional} columns must be known for mentions of both classes, "
                    f"were for {int(known.sum())} mentions in all. Leave them out (optional=0)."
                )
            self.optional_residuals_ = PositionResiduals.fit(
                text[known, :OBJECT], sometimes[known], labels[known]
            )
        self.codes_ = np.unique(text[:, OBJECT:]).astype(np.float64)
        basis = self._basis(X)
        residuals = self._residuals(X, basis)
        both = np.hstack([residuals, self._design(text, basis).astype(residuals.dtype)])
        found = fit_logistic_by_group(both, labels, groups=groups, offset=offset)
        self.coef_, self.text_coef_ = np.split(found.weights, [residuals.shape[1]])
        self.intercept_ = found.intercept
        self.penalty_ = found.penalty

    def scores(self, X: Any) -> Floats:  # noqa: N803
        """Log-odds, float64 ``[n]``: the sum of the text's part and the evidence term."""
        prior, evidence = self.parts(X)
        return prior + evidence

    def parts(self, X: Any) -> tuple[Floats, Floats]:  # noqa: N803
        """The two parts of :meth:`scores`, float64 ``[n]`` each, nats.

        Returns:
            what the text says, the prior and its correction, 0 if there are no text columns; and
            what the evidence adds, a log-likelihood ratio at that place.
        """
        text, basis = X[:, : self.text], self._basis(X)
        evidence: Floats = self._residuals(X, basis) @ self.coef_ + self.intercept_
        if not self.text:
            return np.zeros(len(X)), evidence
        prior: Floats = self.prior_.scores(text) + self._design(text, basis) @ self.text_coef_
        return prior, evidence

    def _parts(self, X: Any) -> tuple[Any, Any, Any]:  # noqa: N803
        end = X.shape[1] - self.optional
        return X[:, : self.text], X[:, self.text : end], X[:, end:]

    def _basis(self, X: Any) -> Floats:  # noqa: N803
        """Where mentions stand in their captions, as both terms take it."""
        return self.residuals_.basis(X[:, : min(self.text, OBJECT)])

    def _residuals(self, X: Any, basis: Floats) -> Any:  # noqa: N803
        text, always, sometimes = self._parts(X)
        residuals = self.residuals_.at(basis, always)
        if not self.optional:
            return residuals
        known = np.isfinite(sometimes).all(axis=1)
        filled = np.where(known[:, None], sometimes, X.dtype.type(0))
        more = self.optional_residuals_(text[:, :OBJECT], filled)
        more[~known] = 0
        return np.hstack([residuals, more])

    def _design(self, text: Any, basis: Floats) -> Floats:
        """What the correction is linear in, float64 ``[n, knots and objects]``."""
        objects = text[:, OBJECT:] == self.codes_
        return _EASE * np.hstack([basis[:, 1:], objects])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.optional > 0
        return tags


def _cross_fitted(text: Any, labels: Ints, groups: Ints) -> Floats:
    """Log-odds of each mention by a prior that has not seen its image, float64 ``[n]``."""
    offset = PriorClassifier().fit(text, labels, groups=groups).scores(text)
    for train, held in grouped_folds(labels, groups):
        fold = PriorClassifier().fit(text[train], labels[train], groups=groups[train])
        offset[held] = fold.scores(text[held])
    return offset
