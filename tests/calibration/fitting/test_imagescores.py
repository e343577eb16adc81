"""From mentions to one row an image, against images written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sightline.calibration.fitting.imagescores import NEVER, ImageScores
from sightline.detectors.guarantee import Target

# Image 0: hallucinates twice. 1: true. 2: names nothing. 3: its worst mention is real.
# 4: a hallucinated mention that could not be judged. 5: a real and a hallucinated one tie.
IMAGES = np.array([0, 0, 0, 1, 1, 3, 3, 4, 4, 5, 5])
LABELS = np.array([1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0])
SCORES = np.array([0.9, 0.5, 0.3, 0.2, 0.4, 0.6, 0.7, np.nan, 0.1, 0.8, 0.8])


def rows(target: Target) -> ImageScores:
    """The six images above, for a target."""
    return ImageScores.of(target, SCORES, LABELS, IMAGES, count=6)


def test_recall_takes_the_least_suspicious_hallucination() -> None:
    """One row for each image that hallucinates; what cannot be judged is never flagged."""
    found = rows("recall")
    assert found.scores.tolist() == [0.3, 0.6, NEVER, 0.8]
    assert found.labels.tolist() == [1, 1, 1, 1]


def test_precision_takes_the_most_suspicious_mention() -> None:
    """One row an image, right where that mention is hallucinated; in a tie the real one counts."""
    found = rows("precision")
    assert found.scores.tolist() == [0.9, 0.4, NEVER, 0.7, 0.1, 0.8]
    assert found.labels.tolist() == [1, 0, 0, 0, 0, 0]


def test_false_alarm_takes_the_images_whose_captions_are_true() -> None:
    """One row for each, by its highest score; a caption that names nothing is never flagged."""
    found = rows("false-alarm")
    assert found.scores.tolist() == [0.4, NEVER]
    assert found.labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("target", "threshold", "count", "share"),
    [
        ("recall", 0.6, 4, 0.5),
        ("recall", 0.0, 4, 0.75),
        ("precision", 0.8, 2, 0.5),
        ("precision", 0.0, 5, 0.2),
        ("false-alarm", 0.4, 2, 0.5),
        ("false-alarm", 0.5, 2, 0.0),
    ],
)
def test_what_a_threshold_counts(
    target: Target, threshold: float, count: int, share: float
) -> None:
    """Images that count, and the share that keeps to the target; a score at the threshold flags."""
    assert rows(target).counted(target, threshold) == (count, share)


def test_without_a_flag_precision_is_undefined() -> None:
    """No image with a flag: nothing to be right or wrong about."""
    count, share = rows("precision").counted("precision", 0.95)
    assert count == 0
    assert np.isnan(share)
