"""Layer ranges and the sum over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightline.detectors.svar import LayerRange, svar


def test_published_ranges_are_those_of_the_paper() -> None:
    """Names as the hub writes them, with the depth that goes with them."""
    expected = {
        ("llava-hf/llava-1.5-7b-hf", 32): "5-18",
        ("liuhaotian/llava-v1.5-13b", 40): "5-18",
        ("Shikra-7b-delta-v1", 32): "3-13",
        ("Vision-CAIR/MiniGPT-4", 32): "3-14",
    }
    for (name, depth), text in expected.items():
        found = LayerRange.published(name, depth)
        assert found is not None
        assert (str(found), found.source) == (text, "published")


@pytest.mark.parametrize(
    ("name", "depth"), [("llava-1.5-7b", 24), ("qwen2-vl", 32), ("llava-v1.6-vicuna-7b", 32)]
)
def test_a_range_is_published_for_its_own_model_only(name: str, depth: int) -> None:
    """Another model, or another depth under the same name, has no published range."""
    assert LayerRange.published(name, depth) is None


def test_scaled_by_depth() -> None:
    """32 layers give the paper's range; others the same relative depth, and are marked so."""
    found = {depth: str(LayerRange.scaled(depth)) for depth in (1, 2, 12, 24, 32, 40)}
    assert found == {1: "0-0", 2: "0-0", 12: "2-6", 24: "4-13", 32: "5-18", 40: "6-23"}
    assert LayerRange.scaled(12).source == "scaled"
    with pytest.raises(ValueError, match="at least 1 layer, was: 0"):
        LayerRange.scaled(0)


@given(st.integers(1, 500))
def test_a_scaled_range_fits_every_model(depth: int) -> None:
    """Whatever the depth, the range is within the model and not empty."""
    found = LayerRange.scaled(depth)
    assert found.within(depth) is found
    assert found.layers


def test_parse() -> None:
    """Two numbers or one, with spaces or without."""
    assert LayerRange.parse("5-18", 32) == LayerRange(5, 18, "user")
    assert LayerRange.parse(" 7 ", 32) == LayerRange(7, 7, "user")
    assert LayerRange.parse("0 - 31", 32).layers == tuple(range(32))


@pytest.mark.parametrize("text", ["", "a-b", "5:18", "-1-3", "5-", "1-2-3", "1.5-2"])
def test_parse_refuses_what_is_no_range(text: str) -> None:
    """The error shows the form and the value."""
    with pytest.raises(ValueError, match=r'like "5-18", was: '):
        LayerRange.parse(text, 32)


def test_ranges_outside_the_model_are_refused() -> None:
    """Backwards or beyond the last layer, with the layers there are."""
    with pytest.raises(ValueError, match=r"layers 0-11, was: 5-18\. Layers are counted from 0"):
        LayerRange.parse("5-18", 12)
    with pytest.raises(ValueError, match=r"first <= last .* was: 6-5"):
        LayerRange.parse("6-5", 12)
    with pytest.raises(ValueError, match="first <= last"):
        LayerRange(-1, 3, "user")


def test_by_hand() -> None:
    """The sum over layers 1 and 2 of the mean over two heads."""
    var = np.array([[0.9, 0.9], [0.1, 0.3], [0.5, 0.7], [0.9, 0.9]], dtype=np.float32)
    assert svar(var, range(4), LayerRange(1, 2, "user")) == pytest.approx(0.2 + 0.6)


def test_leading_dimensions() -> None:
    """A batch of tokens is summed token by token."""
    var = np.random.default_rng(0).random((5, 3, 4, 6))
    over = LayerRange(1, 2, "user")
    found = svar(var, (0, 1, 2, 3), over)
    assert found.shape == (5, 3)
    assert found.dtype == np.float64
    assert found[2, 1] == svar(var[2, 1], (0, 1, 2, 3), over)
    assert svar(var[0, 0], (0, 1, 2, 3), over).shape == ()


def test_layers_are_found_by_number_and_not_by_row() -> None:
    """A tap that watched layers 2, 5 and 6 only gives the same sum over 5-6."""
    var = np.random.default_rng(1).random((8, 4))
    watched = (2, 5, 6)
    over = LayerRange(5, 6, "calibration")
    assert svar(var[list(watched)], watched, over) == svar(var, range(8), over)


def test_layers_that_were_not_watched_are_named() -> None:
    """A sum with a hole would be a different quantity."""
    with pytest.raises(ValueError, match=r"missing: \[3, 4\]"):
        svar(np.zeros((3, 2)), (2, 5, 6), LayerRange(2, 5, "user"))


@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 3)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    """The rows of VAR must be the layers named."""
    with pytest.raises(ValueError, match=r"\[\.\.\., 3 layers, heads\], was"):
        svar(np.zeros(shape), (0, 1, 2), LayerRange(0, 1, "user"))


def test_no_heads_are_refused() -> None:
    """The mean over no heads is no number."""
    with pytest.raises(ValueError, match="at least one head"):
        svar(np.zeros((2, 0)), (0, 1), LayerRange(0, 1, "user"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    """NaN never becomes a score; outside the range it does no harm."""
    var = np.zeros((3, 2))
    var[2, 1] = bad
    with pytest.raises(ValueError, match="must be finite"):
        svar(var, (0, 1, 2), LayerRange(1, 2, "user"))
    assert svar(var, (0, 1, 2), LayerRange(0, 1, "user")) == 0
