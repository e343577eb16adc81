"""Tellings made by hand, of one picture."""

from __future__ import annotations

import numpy as np
import pytest
from sightline.calibration.scenes.observed import Observed
from sightline.calibration.scenes.render import Picture, render
from sightline.calibration.scenes.telling import Telling
from sightline.calibration.scenes.world import Placed, Scene
from sightline.monitor.language.lexicon import Lexicon

LAYERS, HEADS, PATCHES = 3, 2, 64


def _picture() -> Picture:
    """A bus on the upper left and a dog on the lower right."""
    bus = Placed("bus", "red", (206, 44, 40), (0.0, 0.0, 0.25, 0.25), False, 1.0)
    dog = Placed("dog", "brown", (126, 82, 46), (0.75, 0.75, 1.0, 1.0), False, 1.0)
    return render(Scene(1, "street", 0.5, 0.0, (bus, dog)))


def _telling(text: str, var: dict[str, float], patch: dict[str, int]) -> Telling:
    """A caption of one token a word, each with its image attention and most attended patch."""
    words = text.split()
    spans, start = [], 0
    for word in words:
        spans.append((max(start - 1, 0), start + len(word)))
        start += len(word) + 1
    attention = np.full((len(words), LAYERS, HEADS), 0.1, np.float32)
    patches = np.zeros((len(words), LAYERS, PATCHES), np.float16)
    for i, word in enumerate(words):
        attention[i] = var.get(word.strip("."), 0.1)
        patches[i, :, patch.get(word.strip("."), 30)] = 0.5
    blank = np.zeros(len(words), np.float32)
    return Telling(text, tuple(spans), True, attention, patches, blank, blank)


@pytest.fixture(scope="module")
def observed() -> Observed:
    """One picture, told twice: once with a made-up traffic light, once repeating the bus."""
    told = _telling(
        "There is a bus and a traffic light . A dog is near the bus .",
        {"bus": 0.6, "dog": 0.5, "traffic": 0.2},
        {"bus": 9, "dog": 54},
    )
    again = _telling("A kite . A dog .", {"kite": 0.3, "dog": 0.4}, {"kite": 0, "dog": 0})
    picture = _picture()
    return Observed.of([picture, picture], [told, again], Lexicon.load("small"))
