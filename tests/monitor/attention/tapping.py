"""A family's tiny model run with a tap on it, and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from sightline.monitor.attention.step import StepAttention
from sightline.monitor.attention.tap import AttentionTap
from torch import Tensor, nn

from ..families import Family

STEPS: Final = 8


def greedy(family: Family, **options: Any) -> Any:
    """Greedy decoding, with its logits."""
    inputs = family.inputs | {"max_new_tokens": STEPS, "do_sample": False} | options
    return family.model.generate(**inputs, return_dict_in_generate=True, output_logits=True)


def tap_on(family: Family, kind: type[AttentionTap] = AttentionTap, **options: Any) -> AttentionTap:
    """A tap on the family's prompts, not open yet."""
    mask = family.inputs["attention_mask"]
    return kind(family.anatomy, family.image, prompt_mask=mask, **options)


def taking(tap: AttentionTap, steps: list[StepAttention]) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that takes each step."""

    def take(ids: Tensor, scores: Tensor) -> Tensor:
        steps.append(tap.take())
        return scores

    return take


def watch(family: Family, tap: AttentionTap, **options: Any) -> tuple[Any, list[StepAttention]]:
    """:func:`greedy` with a tap on, and every step."""
    steps: list[StepAttention] = []
    with tap:
        return greedy(family, logits_processor=[taking(tap, steps)], **options), steps


def same(one: Any, other: Any) -> bool:
    """Whether tokens and logits are the same bits."""
    pairs = zip(one.logits, other.logits, strict=True)
    return torch.equal(one.sequences, other.sequences) and all(torch.equal(a, b) for a, b in pairs)


def close(
    steps: Sequence[StepAttention], others: Sequence[StepAttention], *, atol: float = 2e-6
) -> None:
    """Hold the masses of steps together."""
    assert len(steps) == len(others)
    for one, other in zip(steps, others, strict=True):
        torch.testing.assert_close(one.masses, other.masses, rtol=0, atol=atol)


def owners(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts of a model that have a config of their own."""
    return [(name, part) for name, part in model.named_modules() if "config" in vars(part)]


def configs(model: nn.Module) -> dict[str, Any]:
    """The config objects of a model's parts."""
    return {name: vars(part)["config"] for name, part in owners(model)}


def assert_untouched(model: nn.Module, before: dict[str, Any]) -> None:
    """The very same configs, and no hook before any part."""
    for name, part in owners(model):
        assert vars(part)["config"] is before[name], f"config of {name!r} was replaced"
    for name, part in model.named_modules():
        assert not part._forward_pre_hooks, f"hook left on {name!r}"
