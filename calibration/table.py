"""The calibration table: labelled mentions of held-out captions, with all their evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..detectors.mentions import Mentions


@dataclass(frozen=True, slots=True)
class TableInfo:
    """What the mentions of a table have in common.

    Attributes:
        model: name or folder that the model was loaded from.
        revision: commit or content hash of its weights; empty if unknown.
        architecture: class of the model.
        num_layers: decoder layers of the model.
        num_heads: attention heads of each.
        prompt: the question.
        settings: options given to ``generate``, as in reports.
        lexicon: name of the lexicon that found the objects.
        annotations: SHA-256 of the annotations file.
        lens: whether internal confidence and contributions were recorded.
    """

    model: str
    revision: str
    architecture: str
    num_layers: int
    num_heads: int
    prompt: str
    settings: dict[str, object]
    lexicon: str
    annotations: str
    lens: bool


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationTable:
    """Labelled mentions. Label 1 means hallucinated.

    Attributes:
        info: what they have in common.
        mentions: the ``n`` object mentions, all layers watched.
        labels: int64 ``[n]``; 1 where the image holds no such object.
        images: int64 ``[n]``, position in ``image_ids`` of the image that each mention describes.
        image_ids: every captioned image, those whose captions name no object included.
    """

    info: TableInfo
    mentions: Mentions
    labels: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    image_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def first(self) -> npt.NDArray[np.bool_]:
        """Of each mention, whether its caption names that object for the first time."""
        return np.asarray(self.mentions.repeats == 0)

    def of_images(self, chosen: npt.NDArray[np.int64]) -> CalibrationTable:
        """The part of the table that describes some images, given by position in ``image_ids``."""
        position = np.full(len(self.image_ids), -1, dtype=np.int64)
        position[chosen] = np.arange(len(chosen))
        kept = position[self.images] >= 0
        return replace(
            self,
            mentions=self.mentions.take(kept),
            labels=self.labels[kept],
            images=position[self.images[kept]],
            image_ids=tuple(self.image_ids[i] for i in chosen),
        )
