"""Caches cut back and filled again equal caches that never went further; others are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sightline.monitor.decoding.rollback import (
    RewindableCache,
    RollbackError,
    check_rollback,
    reason_against,
)
from sightline.monitor.errors import OptionError
from torch import Tensor
from transformers import (
    Cache,
    DynamicCache,
    Gemma3TextConfig,
    GenerationConfig,
    LlamaConfig,
    StaticCache,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.cache_utils import QuantoQuantizedLayer

from ..families import build

PROMPT = 6
LONGEST = 24
WINDOW = 8
KINDS = ("dynamic", "static")


def _config(*, sliding: bool) -> LlamaConfig | Gemma3TextConfig:
    sizes: dict[str, Any] = {
        "num_hidden_layers": 2,
        "hidden_size": 8,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 4,
    }
    if not sliding:
        return LlamaConfig(**sizes)
    kinds = ["sliding_attention", "full_attention"]
    return Gemma3TextConfig(**sizes, sliding_window=WINDOW, layer_types=kinds)


def _empty(kind: str, *, sliding: bool) -> Cache:
    config = _config(sliding=sliding)
    if kind == "static":
        return StaticCache(config=config, max_cache_len=LONGEST)
    return DynamicCache(config=config)


def _values(start: int, stop: int, *, layer: int) -> Tensor:
    """What position ``p`` of a layer holds, ``[1, 2, positions, 4]``: always the same."""
    generator = torch.Generator().manual_seed(layer)
    return torch.randn(LONGEST, 2, 1, 4, generator=generator)[start:stop].permute(2, 1, 0, 3)


def _feed(cache: Cache, start: int, stop: int) -> list[tuple[Tensor, Tensor, tuple[int, int]]]:
    """Add positions; what attention would get to see of each layer."""
    seen = []
    for layer in range(2):
        values = _values(start, stop, layer=layer)
        sizes = cache.get_mask_sizes(stop - start, layer)
        keys, added = cache.update(values, -values, layer)
        seen.append((keys.clone(), added.clone(), sizes))
    return seen


def _decode(rewindable: RewindableCache, start: int, stop: int) -> list[Any]:
    steps = []
    for position in range(start, stop):
        rewindable.prepare()
        steps.append(_feed(rewindable.cache, position, position + 1))
    return steps


def _same(one: list[Any], other: list[Any]) -> bool:
    """Whether attention got the same keys and values, and masks of the same size."""
    return all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and a[2] == b[2]
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sliding", [False, True])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_cache_cut_back_any_number_of_times_is_as_it_was(
    kind: str, sliding: bool, data: st.DataObject
) -> None:
    """After any cuts, what the layers hand to attention is what they did the first time."""
    prompt = data.draw(st.integers(1, 14))
    plain = RewindableCache(_filled(kind, sliding=sliding, prompt=prompt))
    expected = _decode(plain, prompt, LONGEST)
    cache = RewindableCache(_filled(kind, sliding=sliding, prompt=prompt))
    length = prompt
    for _ in range(data.draw(st.integers(1, 4))):
        further = data.draw(st.integers(length, LONGEST))
        assert _same(_decode(cache, length, further), expected[length - prompt : further - prompt])
        length = data.draw(st.integers(prompt, further))
        cache.crop(length)
        assert int(cache.cache.get_seq_length()) == length
    assert _same(_decode(cache, length, LONGEST), expected[length - prompt :])


def _filled(kind: str, *, sliding: bool, prompt: int = PROMPT) -> Cache:
    cache = _empty(kind, sliding=sliding)
    _feed(cache, 0, prompt)
    return cache


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sliding", [False, True])
def test_a_pass_that_broke_off_is_tidied_up(kind: str, sliding: bool) -> None:
    """Where only the first layer has seen a position, cutting leaves no trace of it."""
    cache = RewindableCache(_filled(kind, sliding=sliding))
    _decode(cache, PROMPT, 12)
    cache.prepare()
    values = torch.full_like(_values(12, 13, layer=0), torch.nan)
    cache.cache.update(values, values, 0)
    cache.crop(12)
    plain = RewindableCache(_filled(kind, sliding=sliding))
    expected = _decode(plain, PROMPT, 16)
    assert _same(_decode(cache, 12, 16), expected[12 - PROMPT :])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sliding", [False, True])
def test_no_cache_is_cut_to_what_it_does_not_hold(kind: str, sliding: bool) -> None:
    """Neither more than there is nor less than the prompt, which has to be read anew for that."""
    cache = RewindableCache(_filled(kind, sliding=sliding))
    _decode(cache, PROMPT, 10)
    with pytest.raises(RollbackError, match="11 positions, it holds 10"):
        cache.crop(11)
    with pytest.raises(RollbackError, match=f"the {PROMPT} positions it was wrapped with"):
        cache.crop(PROMPT - 1)


def test_layers_apart_stay_whole() -> None:
    """A layer that looks at the image alone keeps all its keys."""
    cache = DynamicCache(config=_config(sliding=False))
    _feed(cache, 0, PROMPT)
    rewindable = RewindableCache(cache, apart=[1])
    _feed(cache, PROMPT, PROMPT + 3)
    rewindable.crop(PROMPT)
    assert [cache.get_seq_length(layer) for layer in range(2)] == [PROMPT, PROMPT + 3]


def test_caches_of_inference_mode_can_be_cut() -> None:
    """A static cache filled in inference mode is cut outside of it."""
    with torch.inference_mode():
        cache = RewindableCache(_filled("static", sliding=False))
        _decode(cache, PROMPT, 10)
    cache.crop(8)
    assert int(cache.cache.get_seq_length()) == 8


def test_a_quantized_layer_is_refused_although_it_calls_itself_croppable() -> None:
    """It inherits from a layer that is, and would silently keep what it was told to drop."""
    layer = object.__new__(QuantoQuantizedLayer)
    assert layer.is_croppable
    cache = Cache(layers=[layer])
    reason = reason_against(cache)
    assert reason is not None
    assert "QuantoQuantizedLayer" in reason
    with pytest.raises(RollbackError, match="forgets its past"):
        RewindableCache(cache)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"cache_implementation": "quantized"}, "only dynamic and static caches"),
        ({"use_cache": False}, "use_cache=False"),
    ],
)
def test_options_without_a_way_back_are_refused(options: dict[str, Any], match: str) -> None:
    """The error names the option before a model has run."""
    model = build("llava").model
    with pytest.raises(OptionError, match=match):
        check_rollback(model, GenerationConfig(**options))


def test_recurrent_layers_are_refused() -> None:
    """A state that sums up the past cannot be taken back."""
    model = build("llava").model
    model.config.text_config.layer_types = ["linear_attention", *["full_attention"] * 3]
    with pytest.raises(OptionError, match="layer 0 keeps a LinearAttentionLayer"):
        check_rollback(model, GenerationConfig())


def test_encoder_decoder_models_are_refused() -> None:
    """Their cache has two halves, one of which does not grow."""
    config = T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=20)
    with pytest.raises(OptionError, match="T5ForConditionalGeneration has an encoder"):
        check_rollback(T5ForConditionalGeneration(config), GenerationConfig())


@pytest.mark.parametrize("kind", [None, "dynamic", "hybrid", "offloaded", "static"])
def test_caches_that_can_be_rolled_back_are_let_through(kind: str | None) -> None:
    """Dynamic and static caches, sliding windows included."""
    for name in ("llava", "gemma3"):
        config = GenerationConfig()
        config.cache_implementation = kind
        check_rollback(build(name).model, config)
