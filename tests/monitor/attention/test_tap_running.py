"""The tap on every way a model is run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from sightline.detectors.evidence import IMAGE
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    DynamicCache,
    StaticCache,
)
from transformers.cache_utils import StaticLayer
from transformers.masking_utils import flash_attention_mask

from ..families import Family, build
from .tapping import STEPS, close, greedy, same, tap_on, watch

CHUNKS = pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.23"),
    reason="transformers before 5.23 loses the image where it reads a prompt in chunks",
)


def test_batch_of_one_equals_the_row_in_a_batch(llava: Family) -> None:
    """Left padding changes no row's masses."""
    _, both = watch(llava, tap_on(llava))
    short = {name: value[1:] for name, value in llava.inputs.items()}
    short["input_ids"], short["attention_mask"] = (
        short["input_ids"][:, 3:],
        short["attention_mask"][:, 3:],
    )
    alone = Family("llava", llava.model, short)
    _, single = watch(alone, tap_on(alone))
    for one, other in zip(both, single, strict=True):
        torch.testing.assert_close(one.masses[1:], other.masses, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "options", [{"use_cache": False}, pytest.param({"prefill_chunk_size": 5}, marks=CHUNKS)]
)
def test_without_a_cache_and_in_chunks(llava: Family, options: dict[str, Any]) -> None:
    """Recomputing everything, or reading the prompt in chunks, gives the same masses."""
    _, usual = watch(llava, tap_on(llava))
    _, other = watch(llava, tap_on(llava), **options)
    close(usual, other)


@pytest.mark.parametrize("name", ["llava", "gemma3", "aya_vision", "qwen2_vl"])
def test_static_cache(name: str) -> None:
    """Keys that are allocated but not seen take no part, sliding windows included."""
    family = build(name)
    _, usual = watch(family, tap_on(family))
    plain = greedy(family, cache_implementation="static", disable_compile=True)
    watched, steps = watch(
        family, tap_on(family), cache_implementation="static", disable_compile=True
    )
    assert same(plain, watched)
    close(usual, steps)


def test_continuing_with_a_cache(llava: Family) -> None:
    """A second call that goes on from the first's cache keeps prompt and caption apart."""
    _, usual = watch(llava, tap_on(llava))
    cache = DynamicCache(config=llava.model.config.get_text_config())
    tap = tap_on(llava)
    begun, steps = watch(llava, tap, past_key_values=cache, max_new_tokens=4)
    grown = torch.ones(2, 4, dtype=torch.long)
    mask = torch.cat([llava.inputs["attention_mask"], grown], dim=1)
    text = {"input_ids": begun.sequences, "attention_mask": mask}
    rest = Family("llava", llava.model, text)
    _, later = watch(rest, tap_on(llava), past_key_values=cache, max_new_tokens=STEPS - 4)
    close(usual, steps + later)


def test_rolling_the_cache_back(llava: Family) -> None:
    """After a crop the same tokens decoded again show the same masses, in the same tap."""
    cache = DynamicCache(config=llava.model.config.get_text_config())
    static = StaticCache(llava.model.config.get_text_config(), max_cache_len=64)
    for past in (cache, static):
        with torch.no_grad(), tap_on(llava) as tap:
            llava.model(**llava.inputs, past_key_values=past)
            tap.take()
            token = torch.full((2, 1), 9)
            mask = torch.cat([llava.inputs["attention_mask"], torch.ones(2, 1).long()], 1)
            step = {"input_ids": token, "attention_mask": mask, "past_key_values": past}
            llava.model(**step)
            once = tap.take()
            if past is cache:
                cache.crop(-1)
            else:
                for layer in static.layers:
                    assert isinstance(layer, StaticLayer)
                    layer.cumulative_length -= 1
            llava.model(**step)
            close([once], [tap.take()])


def test_beams_and_samples_share_their_prompts_segments(llava: Family) -> None:
    """Several rows per prompt are measured, each by its own prompt's image."""
    options = {"num_return_sequences": 2, "num_beams": 2}
    beams, steps = watch(llava, tap_on(llava), **options)
    assert torch.equal(beams.sequences, greedy(llava, **options).sequences)
    _, single = watch(llava, tap_on(llava))
    assert steps[0].masses.shape[0] == 4
    torch.testing.assert_close(steps[0].masses[::2], single[0].masses, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["llava", "gemma3", "qwen2_5_vl"])
def test_teacher_forcing_equals_decoding(name: str) -> None:
    """One forward pass over prompt and caption gives the masses of every decoding step."""
    family = build(name)
    output, steps = watch(family, tap_on(family, patches=1))
    prompt = family.image.shape[1]
    inputs = dict(family.inputs)
    grown = torch.ones(2, STEPS, dtype=torch.long)
    inputs["input_ids"] = output.sequences
    inputs["attention_mask"] = torch.cat([inputs["attention_mask"], grown], dim=1)
    for kind in inputs.keys() & {"token_type_ids", "mm_token_type_ids"}:
        inputs[kind] = torch.cat([inputs[kind], grown * 0], dim=1)
    positions = torch.arange(prompt - 1, prompt - 1 + STEPS).expand(2, -1)
    for rows in (positions, "all"):
        with torch.no_grad(), tap_on(family, rows=rows, patches=1) as tap:
            family.model(**inputs)
            forced = tap.take()
        assert forced.patches is not None
        picked = slice(None) if rows is positions else positions[0]
        masses, patches = forced.masses[:, :, :, picked], forced.patches[:, :, picked]
        for index, step in enumerate(steps):
            assert step.patches is not None
            torch.testing.assert_close(masses[:, :, :, index], step.masses, rtol=0, atol=2e-6)
            torch.testing.assert_close(patches[:, :, index], step.patches, rtol=0, atol=2e-6)


def test_gradients_still_flow_through_a_watched_model(llava: Family) -> None:
    """Watching does not detach the model's own output."""
    with tap_on(llava) as tap:
        llava.model(**llava.inputs).logits.sum().backward()
        masses = tap.take().masses
    assert not masses.requires_grad
    assert llava.model.lm_head.weight.grad is not None
    llava.model.zero_grad(set_to_none=True)


def test_bfloat16() -> None:
    """In half precision the rows are still recomputed in float32 and add up to 1."""
    family = build("llava")
    _, full = watch(family, tap_on(family))
    family.model.to(torch.bfloat16)
    family.inputs["pixel_values"] = family.inputs["pixel_values"].bfloat16()
    plain = greedy(family)
    watched, steps = watch(family, tap_on(family))
    assert same(plain, watched)
    for step in steps:
        assert step.masses.dtype == torch.float32
        torch.testing.assert_close(step.masses.sum(-1), torch.ones(2, 4, 4))
    torch.testing.assert_close(full[0].masses, steps[0].masses, rtol=0, atol=0.1)


@pytest.mark.parametrize("name", ["llava", "aya_vision"])
def test_an_implementation_with_its_own_account_of_the_mask(name: str) -> None:
    """Where no dense mask is made (FlashAttention), padding and window are worked out."""
    family = build(name)
    family.model.set_attn_implementation({"text_config": _FLASH})
    plain = greedy(family)
    _SEEN.clear()
    watched, steps = watch(family, tap_on(family))
    assert same(plain, watched)
    prompt = family.image.shape[1]
    for index, (step, layers) in enumerate(zip(steps, _SEEN, strict=True)):
        image = torch.zeros(2, prompt + index)
        image[:, :prompt] = family.image
        for row, weights in enumerate(layers):
            var = (weights * image[:, None, -weights.shape[-1] :]).sum(-1)
            torch.testing.assert_close(step.masses[:, row, :, IMAGE], var, rtol=0, atol=1e-5)


_FLASH = "flash_like"
_SEEN: list[list[Tensor]] = []


def _flash_like(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention that reads a 2-D mask, aligns windows by itself, and remembers its last row."""
    # FlashAttention asks the config which kernel it is: it must see its own name.
    config: Any = module.config
    assert config._attn_implementation == _FLASH
    groups = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    keys, queries = key.shape[2], query.shape[2]
    row = torch.arange(keys - queries, keys).unsqueeze(1)
    visible = torch.arange(keys) <= row
    if sliding_window is not None:
        visible &= torch.arange(keys) > row - sliding_window
    if attention_mask is not None:
        visible = visible & attention_mask[:, None, None, -keys:].bool()
    weights = torch.softmax(scores.masked_fill(~visible, -1e9), dim=-1)
    if module.layer_idx == 0:
        _SEEN.append([])
    _SEEN[-1].append(weights[:, :, -1])
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(_FLASH, _flash_like)
AttentionMaskInterface.register(_FLASH, flash_attention_mask)
