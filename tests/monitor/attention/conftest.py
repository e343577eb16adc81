"""The tiny LLaVA, which every test of the tap must leave as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sightline.monitor.models.anatomy import Anatomy

from ..families import Family, build
from .tapping import assert_untouched, configs


@pytest.fixture(scope="module")
def _llava() -> Family:
    return build("llava")


@pytest.fixture
def llava(_llava: Family) -> Iterator[Family]:
    """The tiny LLaVA; fails the test that leaves it other than it was."""
    before = configs(_llava.model)
    yield _llava
    assert_untouched(_llava.model, before)


@pytest.fixture
def anatomy(llava: Family) -> Anatomy:
    """The tiny LLaVA's parts."""
    return llava.anatomy
