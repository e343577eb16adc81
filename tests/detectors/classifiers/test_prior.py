"""The text-only prior behind the common face of all classifiers."""

from __future__ import annotations

import numpy as np
from sightline.detectors.classifiers.prior import PriorClassifier
from sightline.detectors.classifiers.text import TextPrior
from sightline.detectors.features import matrix

from ..synthetic import OBJECTS, images, labels, mentions


def test_it_is_the_prior() -> None:
    """The same log-odds as the prior itself, from the features that every detector reads."""
    some, y, which = mentions(400), labels(400), images(400)
    values = matrix(some, ["position", "object"], OBJECTS)
    codes = [OBJECTS.index(name) for name in some.object]
    columns = np.column_stack([some.index, some.word, some.repeats, codes])
    expected = TextPrior().fit(columns, y).decision_function(columns)
    found = PriorClassifier().fit(values, y, groups=which).scores(values)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_position_alone_will_do() -> None:
    """Three columns are position, and no object is looked for."""
    some, y, which = mentions(400), labels(400), images(400)
    found = PriorClassifier().fit(matrix(some, ["position"]), y, groups=which)
    assert found.prior_.object_column is None
