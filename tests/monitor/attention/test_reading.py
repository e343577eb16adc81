"""When the layers of a pass are read does not matter to what is read."""

from __future__ import annotations

import pytest
import torch
from sightline.monitor.attention.frame import JOINED_BYTES
from sightline.monitor.attention.step import StepAttention
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor
from transformers import LogitsProcessor

from ..families import Family, build


class _Taking(LogitsProcessor):
    def __init__(self, tap: AttentionTap) -> None:
        self.tap = tap
        self.steps: list[StepAttention] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        self.steps.append(self.tap.take())
        return scores


def _watched(family: Family, layers: tuple[int, ...] | None = None) -> list[StepAttention]:
    mask = family.inputs["attention_mask"]
    anatomy = Anatomy.of(family.model)
    with AttentionTap(anatomy, family.image, prompt_mask=mask, layers=layers, patches=9) as tap:
        take = _Taking(tap)
        family.model.generate(
            **family.inputs, max_new_tokens=4, do_sample=False, logits_processor=[take]
        )
    return take.steps


def _patches(step: StepAttention) -> Tensor:
    assert step.patches is not None
    return step.patches


# One kind of layer, and two kinds in turn of which one slides over a shorter window.
@pytest.mark.parametrize("name", ["llava", "gemma3"])
@pytest.mark.parametrize("room", [0, 20_000, 1 << 30])
def test_alone_in_groups_or_all_at_once(
    monkeypatch: pytest.MonkeyPatch, name: str, room: int
) -> None:
    """Layers read one by one, a few together or after the pass give the same masses and patches."""
    family = build(name)
    expected = _watched(family)
    monkeypatch.setitem(JOINED_BYTES, "cpu", room)
    found = _watched(family)
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.masses, other.masses, rtol=0, atol=1e-6)
        torch.testing.assert_close(_patches(one), _patches(other), rtol=0, atol=1e-6)


def test_a_prompts_results_lie_in_one_block() -> None:
    """Kept one by one among a long prompt's temporaries, small results break up the heap."""
    steps = _watched(build("llava"))
    for part in (steps[0].masses, _patches(steps[0])):
        assert part.untyped_storage().nbytes() == part.numel() * part.element_size()


def test_fewer_layers_are_the_same_layers() -> None:
    """A layer's masses do not depend on which others are read with it."""
    family = build("gemma3")
    every, some = _watched(family), _watched(family, (0, 3))
    for one, other in zip(some, every, strict=True):
        torch.testing.assert_close(one.masses, other.masses[:, [0, 3]], rtol=0, atol=1e-6)
