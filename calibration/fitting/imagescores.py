"""One row an image: what a promise counts, made from the scores of the image's mentions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...detectors.guarantee import Target

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NEVER = -1.0
"""Score of what no threshold flags: below every probability."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageScores:
    """The images that count for a target: each is flagged from the threshold ``score`` on down.

    Attributes:
        scores: float64 ``[m]``, probability; :data:`NEVER` where no threshold flags the image.
        labels: int64 ``[m]``; 1 where a flag is right.
    """

    scores: Floats
    labels: Ints

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def of(
        cls, target: Target, probabilities: Floats, labels: Ints, images: Ints, *, count: int
    ) -> ImageScores:
        """The rows of a target.

        ``recall``: the images whose captions hallucinate, by the least suspicious of their
        hallucinated mentions: once that one is flagged, all are. ``precision``: all images, by
        their most suspicious mention and its label; where a real mention is exactly as suspicious,
        the real one counts. ``false-alarm``: the images whose captions are true, by their most
        suspicious mention.

        A caption that names no object is true and never flagged: it counts for ``false-alarm`` as
        an image without one, and not for the other two. A mention without a probability is never
        flagged.

        Args:
            target: what is promised.
            probabilities: float64 ``[n]``, of each mention; NaN where it could not be judged.
            labels: int64 ``[n]``, 1 where hallucinated.
            images: int64 ``[n]``, the image of each mention, ``0..count-1``.
            count: number of captioned images.
        """
        scores = np.where(np.isfinite(probabilities), probabilities, NEVER)
        wrong = labels == 1
        hallucinates = np.zeros(count, dtype=bool)
        hallucinates[images[wrong]] = True
        if target == "recall":
            least = np.full(count, np.inf)
            np.minimum.at(least, images[wrong], scores[wrong])
            return cls(least[hallucinates], np.ones(int(hallucinates.sum()), dtype=np.int64))
        most = np.full(count, NEVER)
        np.maximum.at(most, images, scores)
        if target == "false-alarm":
            return cls(most[~hallucinates], np.zeros(int((~hallucinates).sum()), dtype=np.int64))
        right = np.ones(count, dtype=np.int64)
        np.minimum.at(right, images, np.where(scores == most[images], labels, 1))
        right[most == NEVER] = 0
        return cls(most, right)

    def counted(self, target: Target, threshold: float) -> tuple[int, float]:
        """How many images count at a threshold, and on which share of them it keeps to the target.

        The share is of images whose hallucinated mentions are all flagged (recall), whose flag is
        right (precision), or that have a flag (false-alarm); NaN where none counts.
        """
        flagged = self.scores >= threshold
        kept = self.labels[flagged] if target == "precision" else flagged
        return len(kept), float(kept.mean()) if len(kept) else float("nan")
