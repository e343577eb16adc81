"""A detector: which features of a mention it reads, and the classifier that scores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from .artifact.parts import put_together, take_apart
from .classifiers.estimators import MentionClassifier
from .classifiers.fused import FusedClassifier
from .classifiers.svar import SvarClassifier
from .features import Matrix, columns, feature
from .mentions import Mentions, Timing

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """Scores mentions, high for hallucinated. :meth:`fit` returns a fitted copy.

    Attributes:
        name: what reports and artifacts call it.
        features: keys of :data:`~sightline.detectors.features.FEATURES`, in the order of the
            classifier's columns.
        estimator: the classifier.
        layers: the decoder layers that it must see, counted from 0, ascending; empty if it reads
            no attention. Before :meth:`fit`: the layers to use, ``None`` for all that were
            watched. A fitted SVAR detector needs the layers of its range alone.
        heads: attention heads of each of those layers; 0 if it reads no attention, or not fitted.
        vocabulary: the objects it was fitted on, in order, if it reads objects.
        fitted: whether it can score.
    """

    name: str
    features: tuple[str, ...]
    estimator: MentionClassifier
    layers: tuple[int, ...] | None = None
    heads: int = 0
    vocabulary: tuple[str, ...] = ()
    fitted: bool = field(default=False, kw_only=True)

    @property
    def timing(self) -> Timing:
        """``predicting`` if the verdict is there before the token is handed to anyone,
        ``naming`` if it comes one token later."""
        naming = any(feature(name).timing == "naming" for name in self.features)
        return "naming" if naming else "predicting"

    @property
    def layered(self) -> bool:
        """Whether it reads attention."""
        return any(feature(name).layered for name in self.features)

    @property
    def needs_lens(self) -> bool:
        """Whether it reads internal confidence, for which the image's hidden states are kept."""
        return "confidence" in self.features

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of :meth:`matrix`, in order.

        Raises:
            NotFittedError: how many layers and heads there are is not known yet.
        """
        self._check_fitted()
        return columns(self.features, self.layers or (), self.heads)

    def fit(self, mentions: Mentions, labels: npt.ArrayLike, images: npt.ArrayLike) -> Detector:
        """A copy that has learned from labelled mentions.

        Args:
            mentions: ``n`` mentions.
            labels: int ``[n]``, 1 for hallucinated, 0 for real.
            images: ``[n]``, the image of each mention: whatever is chosen on the way is chosen
                with images held out whole.

        Raises:
            ValueError: lengths differ, a label is neither 0 nor 1 or does not occur, the evidence
                is not finite, or a layer was not watched.
        """
        y, which = _labels(labels, len(mentions)), np.asarray(images)
        if which.shape != y.shape:
            raise ValueError(f"images must have shape {y.shape}, one per mention: {which.shape}.")
        wanted = self.layers if self.layers is not None else mentions.layers
        layers = wanted if self.layered else ()
        seen = mentions.within(layers)
        vocabulary: tuple[str, ...] = ()
        if "object" in self.features:
            vocabulary = tuple(np.unique(mentions.object[mentions.object != ""]).tolist())
        heads = seen.masses.shape[2] if self.layered else 0
        blocks = [feature(name).values(seen, vocabulary) for name in self.features]
        self._refuse_unknown(blocks)
        values = np.hstack(blocks)
        optional = sum(
            block.shape[1]
            for name, block in zip(self.features, blocks, strict=True)
            if feature(name).optional
        )
        fresh: MentionClassifier = clone(self.estimator)  # pyright: ignore[reportAssignmentType]
        if optional:
            fresh.set_params(optional=optional)
        estimator = fresh.fit(values, y, groups=which, strata=mentions.index)
        if isinstance(estimator, SvarClassifier) and estimator.choose:
            # The layers outside the range need not be watched any more.
            chosen = slice(estimator.first_, estimator.last_ + 1)
            layers, values = layers[chosen], values[:, chosen]
            narrow = SvarClassifier(choose=False)
            estimator = narrow.fit(values, y, groups=which, strata=mentions.index)
        return replace(
            self,
            estimator=estimator,
            layers=layers,
            heads=heads,
            vocabulary=vocabulary,
            fitted=True,
        )

    def matrix(self, mentions: Mentions) -> Matrix:
        """The features of some mentions as the classifier takes them, float32 ``[n, columns]``.

        Raises:
            NotFittedError: before :meth:`fit`.
            ValueError: a layer was not watched, or the number of heads differs.
        """
        return np.hstack(self._blocks(mentions))

    def score(self, mentions: Mentions) -> Floats:
        """Scores of some mentions, float64 ``[n]``; NaN where evidence it needs is not finite.

        Raises:
            NotFittedError: before :meth:`fit`.
            ValueError: a layer was not watched, or the number of heads differs.
        """
        values, usable = self._usable(mentions)
        if usable.all():
            return self.estimator.scores(values)
        scores = np.full(len(values), np.nan)
        if usable.any():
            scores[usable] = self.estimator.scores(values[usable])
        return scores

    def parts(self, mentions: Mentions) -> tuple[Floats, Floats] | None:
        """What the text says and what the evidence adds, float64 ``[n]`` each: :meth:`score` is
        their sum. ``None`` if the classifier does not tell them apart.

        Raises:
            NotFittedError: before :meth:`fit`.
            ValueError: a layer was not watched, or the number of heads differs.
        """
        if not isinstance(self.estimator, FusedClassifier):
            return None
        values, usable = self._usable(mentions)
        if usable.all():
            return self.estimator.parts(values)
        prior, evidence = np.full(len(values), np.nan), np.full(len(values), np.nan)
        if usable.any():
            prior[usable], evidence[usable] = self.estimator.parts(values[usable])
        return prior, evidence

    def _usable(self, mentions: Mentions) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """The features, and the rows in which all that is needed is finite."""
        blocks = self._blocks(mentions)
        values = np.hstack(blocks)
        optional = [feature(name).optional for name in self.features]
        if not any(optional):
            return values, np.asarray(np.isfinite(values).all(axis=1))
        usable = np.ones(len(mentions), dtype=np.bool_)
        for may_be_unknown, block in zip(optional, blocks, strict=True):
            if not may_be_unknown:
                usable &= np.isfinite(block).all(axis=1)
        return values, usable

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """All there is to know of a fitted detector: JSON values, and arrays by name.

        Raises:
            NotFittedError: before :meth:`fit`.
        """
        self._check_fitted()
        parts, arrays = take_apart(self.estimator)
        known = {
            "name": self.name,
            "features": list(self.features),
            "layers": list(self.layers or ()),
            "heads": self.heads,
            "vocabulary": list(self.vocabulary),
            "estimator": parts,
        }
        return known, arrays

    @classmethod
    def from_state(
        cls, known: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Detector:
        """The detector that :meth:`state` was asked of; it scores bit for bit the same.

        No code is run that the state brings along, so it may come from a stranger.

        Raises:
            ValueError: it is not the state of a detector.
        """
        try:
            detector = cls(
                str(known["name"]),
                tuple(map(str, known["features"])),
                put_together(known["estimator"], arrays),
                layers=tuple(map(int, known["layers"])),
                heads=int(known["heads"]),
                vocabulary=tuple(map(str, known["vocabulary"])),
                fitted=True,
            )
            width = len(detector.columns)
            trial = detector.estimator.scores(np.zeros((1, width), dtype=np.float32))
            sound = trial.shape == (1,) and bool(np.isfinite(trial).all())
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise ValueError(
                f"The state of a detector must be what Detector.state() gives: {error}. Fit the "
                f"detector anew, or take an artifact that this version can read."
            ) from error
        if not sound or detector.estimator.n_features_in_ != width:
            raise ValueError(
                f"A detector's classifier must turn the {width} columns of its features into "
                f"one finite score, does not. The state was changed: fit it anew."
            )
        return detector

    def _blocks(self, mentions: Mentions) -> list[Matrix]:
        self._check_fitted()
        layers = self.layers or ()
        if self.layered and mentions.masses.shape[2] != self.heads:
            raise ValueError(
                f"Detector {self.name!r} was fitted on layers with {self.heads} heads, these have "
                f"{mentions.masses.shape[2]}. It belongs to another model: calibrate this one."
            )
        seen = mentions if mentions.layers == layers else mentions.within(layers)
        return [feature(name).values(seen, self.vocabulary) for name in self.features]

    def _check_fitted(self) -> None:
        if not self.fitted:
            raise NotFittedError(
                f"Detector {self.name!r} must be fitted before it can score: call fit(), and use "
                f"what it returns."
            )

    def _refuse_unknown(self, blocks: Sequence[Matrix]) -> None:
        for one, block in zip(map(feature, self.features), blocks, strict=True):
            unknown = int((~np.isfinite(block)).any(axis=1).sum())
            if unknown and not one.optional:
                raise ValueError(
                    f"Evidence must be finite to fit detector {self.name!r}: {one.name} is NaN or "
                    f"infinite in {unknown} of {len(block)} mentions. {one.remedy}"
                )


def _labels(labels: npt.ArrayLike, count: int) -> Ints:
    y = np.asarray(labels)
    if y.shape != (count,):
        raise ValueError(f"labels must have shape ({count},), one per mention, was: {y.shape}.")
    found = np.unique(y)
    if not np.isin(found, (0, 1)).all():
        raise ValueError(f"A label must be 0 (real) or 1 (hallucinated), had: {found.tolist()}.")
    if len(found) < 2:
        kind = "hallucinated" if found.tolist() == [1] else "real"
        raise ValueError(
            f"A detector needs mentions of both classes to be fitted, all {count} are {kind}. "
            f"Collect captions of more images."
        )
    return y.astype(np.int64)
