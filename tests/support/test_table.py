"""The support table: complete, as the page shows it, and still true where that is cheap to see."""

from __future__ import annotations

from pathlib import Path

import pytest
from sightline.monitor.errors import ModelError

from .checks import COLUMNS, ask
from .family import BUILDERS, build
from .results import NOT_BUILT, Results, replaced, unknown

PAGE = Path(__file__).parent.parent.parent / "docs" / "models.md"


@pytest.fixture(scope="module")
def results() -> Results:
    """What was measured last."""
    return Results.load()


def test_the_page_shows_the_results(results: Results) -> None:
    """The block between the page's markers is made from results.json."""
    text = PAGE.read_text(encoding="utf-8")
    assert replaced(text, results.markdown()) == text, (
        "The support table must be that of results.json: "
        "python -m tests.support.table --render --update docs/models.md"
    )


def test_every_family_of_the_installed_transformers_is_known(results: Results) -> None:
    """A new version of transformers that brings new families is noticed here."""
    assert not unknown(), f"Write a builder for {unknown()}, or say in NOT_BUILT why there is none."
    assert set(results.rows) == set(BUILDERS)
    assert not set(NOT_BUILT) & set(BUILDERS)


def test_every_no_has_a_reason(results: Results) -> None:
    """And each row all columns; nothing of ours is broken."""
    for name, row in results.rows.items():
        assert set(row) == set(COLUMNS), name
        for column, answer in row.items():
            assert answer.works or answer.reason, (name, column)
            assert not answer.reason.startswith("error of ours"), (name, column, answer.reason)


@pytest.mark.parametrize(
    "name", ["gemma4", "inkling_mm_model", "llama4", "mistral_large4", "qwen3_5", "kosmos-2.5"]
)
def test_what_the_table_says_is_so(results: Results, name: str) -> None:
    """Kinds of attention that the fourteen families do not have, measured again."""
    for column in ("observed", "VAR", "identity", "re-decode"):
        assert ask(column, name) == results.rows[name][column], column


@pytest.mark.parametrize("name", ["lfm2_vl", "mistral_large4"])
def test_what_the_table_says_of_compiling_is_so(results: Results, name: str) -> None:
    """Layers without attention between others, and masks that a model makes by a name."""
    assert ask("compiled", name) == results.rows[name]["compiled"]


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_who_is_refused_is_refused_in_words(results: Results, name: str) -> None:
    """Families that the table calls refused are refused before anything is decoded."""
    family = build(name, rows=1)
    if results.rows[name]["observed"].works:
        assert family.anatomy.layers
    else:
        with pytest.raises(ModelError, match=r"\w\. Use |pass image_token_id="):
            assert family.anatomy
