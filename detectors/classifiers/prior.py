"""The text-only prior among the classifiers of mentions: it scores without seeing the image."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np

from .estimators import Floats, Ints, LogOddsClassifier
from .text import TextPrior

OBJECT: Final = 3
"""The column that holds the object's code, after index, word and repeats."""


class PriorClassifier(LogOddsClassifier):
    """Log-odds by :class:`~sightline.detectors.classifiers.text.TextPrior`.

    The first columns of ``X`` are the features ``position`` and ``object``: index, word, repeats
    and the object's code. With three columns or fewer there is no object.

    Attributes:
        prior_: the fitted prior.
    """

    fitted: ClassVar[tuple[str, ...]] = ("prior_",)

    def _fit(self, X: Any, labels: Ints, *, groups: Ints, strata: Ints) -> None:  # noqa: N803
        prior = TextPrior(object_column=OBJECT if X.shape[1] > OBJECT else None)
        self.prior_ = prior.fit(X, labels)

    def scores(self, X: Any) -> Floats:  # noqa: N803
        """Log-odds, float64 ``[n]``."""
        return self.prior_.log_odds(np.asarray(X, dtype=np.float64))
