"""The paper's detector as a classifier: too little SVAR, over the layers that tell most."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .estimators import DirectionClassifier, Floats, Ints


class SvarClassifier(DirectionClassifier):
    """Score is minus SVAR: the negated sum over layers of VAR's mean over heads.

    Columns of ``X`` are the head means of successive layers (feature ``svar-layers``). With
    ``choose``, the range of layers is the one with the largest AUROC on the fit data; the mentions
    compared are then those of the same stratum, which for mention indices keeps a range from being
    chosen because it counts words.

    Args:
        choose: choose the range of columns; otherwise all are summed.

    Attributes:
        first_: first column of the range.
        last_: last column of the range, included.
        auroc_: AUROC on the fit data, within strata; over all where no stratum has both classes.
        cut_: halfway between the mean scores of the classes.

    Source: Jiang et al., arXiv 2411.16724, section 3 (SVAR over layers 5-18, no threshold given).
    """

    fitted: ClassVar[tuple[str, ...]] = ("first_", "last_", "auroc_", "cut_")

    def __init__(self, choose: bool = True) -> None:
        self.choose = choose

    def _fit(self, X: Any, labels: Ints, *, groups: Ints, strata: Ints) -> None:  # noqa: N803
        width = X.shape[1]
        sums = np.cumsum(np.hstack([np.zeros((len(X), 1)), X]), axis=1, dtype=np.float64)
        ranges = [(0, width - 1)]
        if self.choose:
            ranges = [(first, last) for first in range(width) for last in range(first, width)]
        if np.isnan(auroc_within(labels, np.zeros(len(X)), strata)):
            # No stratum has both labels, so all mentions are compared.
            strata = np.zeros(len(X), dtype=np.int64)
        found = [
            auroc_within(labels, sums[:, first] - sums[:, last + 1], strata)
            for first, last in ranges
        ]
        # The first maximum: the same data always choose the same range.
        best = int(np.argmax(found))
        self.first_, self.last_ = ranges[best]
        self.auroc_ = float(found[best])
        self._set_cut(self.scores(X), labels)

    def scores(self, X: Any) -> Floats:  # noqa: N803
        """Minus SVAR, float64 ``[n]``, between minus the number of layers and 0."""
        chosen = X[:, self.first_ : self.last_ + 1]
        return -np.asarray(chosen.sum(axis=1, dtype=np.float64))


def auroc_within(labels: Ints, scores: Floats, strata: Ints) -> float:
    """Chance that a hallucinated mention outscores a real one of its own stratum, ties half.

    Args:
        labels: ``[n]``, 1 for hallucinated.
        scores: ``[n]``.
        strata: int ``[n]``.

    Returns:
        The share of such pairs in order; NaN where no stratum has both labels.
    """
    order = np.lexsort((scores, strata))
    y, s, t = labels[order], scores[order], strata[order]
    stratum = np.cumsum(np.r_[False, np.diff(t) != 0])
    tie = np.cumsum(np.r_[False, (np.diff(t) != 0) | (np.diff(s) != 0)])
    real, hallucinated = np.bincount(tie, 1 - y), np.bincount(tie, y)
    real_of, hallucinated_of = np.bincount(stratum, 1 - y), np.bincount(stratum, y)
    before = np.cumsum(real_of) - real_of
    below = np.cumsum(real) - real - before[stratum[np.r_[True, np.diff(tie) > 0]]]
    pairs = float(real_of @ hallucinated_of)
    return float(hallucinated @ (below + real / 2)) / pairs if pairs else float("nan")
