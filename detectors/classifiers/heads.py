"""Classifiers on the attention of every layer and head: linear, and the paper's small network."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
from sklearn.neural_network import MLPClassifier

from .estimators import Floats, Ints, LogOddsClassifier
from .logistic import fit_logistic_by_group, grouped_folds, log_loss

_LIMIT: Final = 8.0
_BATCH: Final = 64


class LinearHeadsClassifier(LogOddsClassifier):
    """Ridge logistic regression on standardised columns; score is the log-odds.

    The penalty is chosen by cross-validation with images held out whole.

    Attributes:
        mean_: float64 ``[columns]``.
        scale_: float64 ``[columns]``, standard deviations; 1 where a column is constant.
        coef_: float64 ``[columns]``, of standardised columns.
        intercept_: in nats.
        penalty_: the ridge penalty chosen.
    """

    fitted: ClassVar[tuple[str, ...]] = ("mean_", "scale_", "coef_", "intercept_", "penalty_")

    def _fit(self, X: Any, labels: Ints, *, groups: Ints, strata: Ints) -> None:  # noqa: N803
        self.mean_, self.scale_ = standard(X)
        standardised = standardise(X, self.mean_, self.scale_)
        found = fit_logistic_by_group(standardised, labels, groups=groups)
        self.coef_, self.intercept_ = found.weights, found.intercept
        self.penalty_ = found.penalty

    def scores(self, X: Any) -> Floats:  # noqa: N803
        """Log-odds, float64 ``[n]``."""
        odds: Floats = standardise(X, self.mean_, self.scale_) @ self.coef_ + self.intercept_
        return odds


class NetworkHeadsClassifier(LogOddsClassifier):
    """A two-layer network (one hidden layer of rectifiers) on standardised columns; score is the
    log-odds.

    Training stops where a fifth of the images, held out whole, are predicted best; split by token,
    as in the paper, mentions of one image would stand on both sides.

    Args:
        hidden: width of the hidden layer.
        decay: L2 penalty, as ``alpha`` of scikit-learn's ``MLPClassifier``.
        epochs: at most so many passes over the data.
        patience: passes without improvement after which training stops.
        seed: of the initial weights and the order of mentions.

    Attributes:
        mean_: float64 ``[columns]``.
        scale_: float64 ``[columns]``.
        hidden_weights_: float32 or float64 ``[columns, hidden]``.
        hidden_bias_: ``[hidden]``.
        output_weights_: ``[hidden]``.
        output_bias_: in nats.
        epochs_: passes that the weights have seen.

    Source: Jiang et al., arXiv 2411.16724, Table 1 (two-layer MLP on VAR of all layers and heads).
    """

    fitted: ClassVar[tuple[str, ...]] = (
        "mean_",
        "scale_",
        "hidden_weights_",
        "hidden_bias_",
        "output_weights_",
        "output_bias_",
        "epochs_",
    )

    def __init__(
        self,
        hidden: int = 64,
        decay: float = 0.1,
        epochs: int = 200,
        patience: int = 8,
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.decay = decay
        self.epochs = epochs
        self.patience = patience
        self.seed = seed

    def _fit(self, X: Any, labels: Ints, *, groups: Ints, strata: Ints) -> None:  # noqa: N803
        self.mean_, self.scale_ = standard(X)
        data = self._standardised(X)
        folds = grouped_folds(labels, groups)
        # With too few images to hold any out, all of them stop the training.
        train, held = folds[0] if folds else (np.arange(len(X)), np.arange(len(X)))
        network = MLPClassifier((self.hidden,), alpha=self.decay, random_state=self.seed)
        network.set_params(batch_size=min(_BATCH, len(train)))
        best = np.inf
        for epoch in range(1, self.epochs + 1):
            network.partial_fit(data[train], labels[train], classes=[0, 1])
            loss = float(log_loss(self._odds(network, data[held]), labels[held]).mean())
            if loss < best:
                best, self.epochs_ = loss, epoch
                self._keep(network)
            elif epoch - self.epochs_ >= self.patience:
                break

    def scores(self, X: Any) -> Floats:  # noqa: N803
        """Log-odds, float64 ``[n]``."""
        inner = np.maximum(self._standardised(X) @ self.hidden_weights_ + self.hidden_bias_, 0)
        odds: Floats = (inner @ self.output_weights_ + self.output_bias_).astype(np.float64)
        return odds

    def _standardised(self, X: Any) -> Any:  # noqa: N803
        # A value far outside what was seen must not carry the network away.
        return np.clip(standardise(X, self.mean_, self.scale_), -_LIMIT, _LIMIT)

    @staticmethod
    def _odds(network: MLPClassifier, data: Any) -> Floats:
        both = np.asarray(network.predict_proba(data), dtype=np.float64)
        probability = np.clip(both[:, 1], 1e-12, 1 - 1e-12)
        return np.asarray(np.log(probability / (1 - probability)))

    def _keep(self, network: MLPClassifier) -> None:
        self.hidden_weights_, output = (weights.copy() for weights in network.coefs_)
        self.hidden_bias_ = network.intercepts_[0].copy()
        self.output_weights_ = output[:, 0]
        self.output_bias_ = float(network.intercepts_[1][0])


def standard(X: Any) -> tuple[Floats, Floats]:  # noqa: N803
    """Mean and standard deviation of every column, float64; 1 for the spread of a constant."""
    mean, scale = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    # What is left of a constant after rounding is no spread.
    scale[scale <= 1e-7 * np.maximum(1, np.abs(mean))] = 1
    return mean, scale


def standardise(X: Any, mean: Floats, scale: Floats) -> Any:  # noqa: N803
    """``(X - mean) / scale`` in the dtype of ``X``: a table of 4,096 columns is large enough."""
    return (X - mean.astype(X.dtype)) / scale.astype(X.dtype)
