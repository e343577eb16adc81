"""Provisional thresholds: for the published models alone, and labelled as what they are."""

from __future__ import annotations

import pytest
from sightline.detectors.presets import provisional_threshold


@pytest.mark.parametrize(
    ("model", "depth", "minimum", "layers"),
    [
        ("llava-hf/llava-1.5-7b-hf", 32, 1.475, "5-18"),
        ("liuhaotian/llava-v1.5-13b", 40, 1.28, "5-18"),
        ("shikras/shikra-7b-delta-v1", 32, 5.645, "3-13"),
        ("models/MiniGPT-4", 32, 1.96, "3-14"),
    ],
)
def test_published_models_get_the_midpoint(
    model: str, depth: int, minimum: float, layers: str
) -> None:
    """Halfway between the two published means, over the published layers, and it says so."""
    found = provisional_threshold(model, depth)
    assert found is not None
    assert found.minimum == pytest.approx(minimum)
    assert (str(found.layers), found.layers.source) == (layers, "published")
    assert "provisional" in found.name
    assert found.kind == "provisional"
    assert found.guarantee is None
    assert found.scope == "objects"
    (limit,) = found.limits
    assert limit.startswith("Provisional")
    assert "2411.16724" in limit


@pytest.mark.parametrize(
    ("model", "depth"),
    [("llava-hf/llava-1.5-7b-hf", 12), ("llava-hf/llava-v1.6-vicuna-7b-hf", 32), ("small", 12)],
)
def test_others_get_none(model: str, depth: int) -> None:
    """A name alone is not enough, and one model's means are not another's."""
    assert provisional_threshold(model, depth) is None
