"""Features: names and values side by side, the same for one mention as for many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sightline.detectors.evidence import IMAGE, Evidence
from sightline.detectors.features import FEATURES, FLOOR, UNKNOWN, columns, feature, matrix
from sightline.detectors.mentions import MentionEvidence, Mentions

from .synthetic import HEADS, LAYERS, mentions


@pytest.mark.parametrize("name", FEATURES)
def test_every_column_has_a_name_of_its_own(name: str) -> None:
    """As many names as columns, none twice, float32."""
    values = matrix(mentions(5), [name], ("boat",))
    names = columns([name], LAYERS, HEADS)
    assert values.shape == (5, len(names))
    assert values.dtype == np.float32
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", FEATURES)
def test_one_mention_has_the_features_it_has_in_a_table(name: str) -> None:
    """Online, a mention comes alone: to the bit the same row."""
    many = mentions(6)
    alone = many.take(np.array([4]))
    vocabulary = ("apple", "boat", "chair")
    np.testing.assert_array_equal(
        matrix(alone, [name], vocabulary), matrix(many, [name], vocabulary)[4:5]
    )


@pytest.mark.parametrize("name", FEATURES)
def test_no_mentions_have_no_rows(name: str) -> None:
    """An empty table keeps its columns."""
    none = mentions(3).take(np.zeros(3, dtype=np.bool_))
    assert matrix(none, [name]).shape == (0, len(columns([name], LAYERS, HEADS)))


def test_columns_are_where_their_names_say() -> None:
    """Layer, head and segment of a mass, found again by its name."""
    some = mentions(3, layers=(4, 7, 9))
    names = columns(["position", "masses", "var"], some.layers, HEADS)
    values = matrix(some, ["position", "masses", "var"])
    np.testing.assert_array_equal(values[:, names.index("word")], some.word)
    found = values[:, names.index("log mass 7.1 generated")]
    np.testing.assert_allclose(found, np.log(some.masses[:, 1, 1, 2] + FLOOR), rtol=1e-6)
    found = values[:, names.index("log VAR 9.0")]
    np.testing.assert_allclose(found, np.log(some.masses[:, 2, 0, IMAGE] + FLOOR), rtol=1e-6)


def test_objects_outside_the_vocabulary_have_one_code() -> None:
    """An object that no fitting caption named, and a noun outside the lexicon."""
    some = replace(mentions(3), object=np.array(["boat", "zebra", ""]))
    found = matrix(some, ["object"], ("apple", "boat"))
    assert found[:, 0].tolist() == [1, UNKNOWN, UNKNOWN]


def test_what_is_unknown_stays_unknown() -> None:
    """Nothing is imputed: a mention cut off, and logits that were not finite, are NaN."""
    row = Evidence((0,), np.full((1, 2, 4), 0.25, np.float32), None, None, None)
    some = Mentions.of([MentionEvidence("boat", 0, 1, 0, row)])
    for name in ("naming-masses", "log-prob", "entropy", "margin", "confidence"):
        assert np.isnan(matrix(some, [name])).all(), name
    for name in ("position", "svar-layers", "masses", "var"):
        assert np.isfinite(matrix(some, [name])).all(), name


def test_a_mass_of_zero_has_a_logarithm() -> None:
    """A head that never looks is evidence, not an error."""
    some = replace(mentions(2), masses=np.zeros((2, 3, HEADS, 4), np.float32))
    np.testing.assert_allclose(matrix(some, ["masses"]), np.log(FLOOR), rtol=1e-6)


def test_a_feature_nobody_knows_is_refused() -> None:
    """With the names there are."""
    with pytest.raises(ValueError, match=r"one of position, .* was: 'posture'"):
        feature("posture")
