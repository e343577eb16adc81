"""Steps that are read when they are over show what they showed while they ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sightline.monitor.attention import deferred
from sightline.monitor.attention.deferred import DeferredTap
from sightline.monitor.attention.postponed import Postponed
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.errors import WatchError
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from ..families import FAMILIES, Family, build

STEPS = 8

# Families with layers that slide over a shorter window: their caches forget.
AT_ONCE = {"gemma3", "aya_vision"}


def _run(family: Family, tap: AttentionTap, each: Callable[[], object], **options: Any) -> Any:
    def after(ids: Tensor, scores: Tensor) -> Tensor:
        each()
        return scores

    arguments = {"max_new_tokens": STEPS, "do_sample": False} | options
    with tap:
        return family.model.generate(**family.inputs, logits_processor=[after], **arguments)


def _online(family: Family, **options: Any) -> Tensor:
    """``[steps, batch, layers, heads, segments]`` as they are read while the model runs."""
    steps: list[Tensor] = []
    mask = family.inputs["attention_mask"]
    tap = AttentionTap(Anatomy.of(family.model), family.image, prompt_mask=mask)
    _run(family, tap, lambda: steps.append(tap.take().masses), **options)
    return torch.stack(steps)


def _kept(family: Family, **options: Any) -> DeferredTap:
    mask = family.inputs["attention_mask"]
    tap = DeferredTap(Anatomy.of(family.model), family.image, prompt_mask=mask)
    _run(family, tap, tap.keep, **options)
    return tap


def _waiting(tap: DeferredTap) -> int:
    return sum(isinstance(step, Postponed) for step in tap._steps)


def _everything(tap: DeferredTap, rows: int) -> Tensor:
    pairs = [(row, step) for step in range(STEPS) for row in range(rows)]
    read = tap.read([row for row, _ in pairs], [step for _, step in pairs])
    return read.view(STEPS, rows, *read.shape[1:])


@pytest.mark.parametrize("name", FAMILIES)
def test_the_end_shows_what_each_step_showed(name: str) -> None:
    """Every row of every step, left-padded or not, with grouped heads, in fourteen families."""
    family = build(name)
    tap = _kept(family)
    assert _waiting(tap) == (0 if name in AT_ONCE else STEPS - 1)
    torch.testing.assert_close(_everything(tap, 2), _online(family), rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module", name="llava")
def _llava() -> Family:
    return build("llava")


def test_any_rows_in_any_order(llava: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few pairs, one of them twice, and read a row at a time where memory is short."""
    tap, online = _kept(llava), _online(llava)
    rows, steps = [1, 0, 1, 1, 0], [7, 3, 0, 2, 3]
    for room in (1 << 20, 1):
        monkeypatch.setitem(deferred._BYTES, "cpu", room)
        found = tap.read(rows, steps)
        torch.testing.assert_close(found, online[steps, rows], rtol=1e-6, atol=1e-6)
    assert tap.read([], []).shape == (0, *online.shape[2:])


def test_eager_attention_waits_as_well(llava: Family) -> None:
    """Its masks are additive."""
    llava.model.set_attn_implementation("eager")
    try:
        tap, online = _kept(llava), _online(llava)
    finally:
        llava.model.set_attn_implementation("sdpa")
    assert _waiting(tap) == STEPS - 1
    torch.testing.assert_close(_everything(tap, 2), online, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{"cache_implementation": "static"}, {"use_cache": False}])
def test_what_cannot_wait_is_read_at_once(llava: Family, options: dict[str, Any]) -> None:
    """A cache that does not grow by one position a step keeps nothing for later."""
    tap = _kept(llava, **options)
    assert _waiting(tap) == 0
    everything = _everything(tap, 2)
    torch.testing.assert_close(everything, _online(llava, **options), rtol=1e-6, atol=1e-6)


def test_keys_that_change_are_noticed(llava: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are made anew from the cache in each step are read while they are there."""
    own = DynamicLayer.update

    def turning(layer: DynamicLayer, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        keys, values = own(layer, *args, **options)
        return keys * (1 + keys.shape[2] / 100), values

    monkeypatch.setattr(DynamicLayer, "update", turning)
    tap = _kept(llava)
    assert _waiting(tap) == 0
    torch.testing.assert_close(_everything(tap, 2), _online(llava), rtol=1e-6, atol=1e-6)


def test_each_pass_is_kept_once(llava: Family) -> None:
    """Kept twice, a step would stand for two tokens."""
    tap = DeferredTap(Anatomy.of(llava.model), llava.image)
    with tap:
        llava.model(**llava.inputs)
        tap.keep()
        with pytest.raises(WatchError, match="complete forward pass"):
            tap.keep()
    with pytest.raises(IndexError):
        tap.read([0], [1])
