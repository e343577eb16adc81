"""Sampling: a seed decides everything, whoever else draws and whatever is decoded twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.decoding.resumable import ResumableGeneration
from sightline.monitor.decoding.step import Step
from torch import Tensor
from transformers import set_seed

from ..resuming import STEPS, at, finish, padded_prompts


@pytest.fixture
def inputs(tiny: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    return padded_prompts(tiny[1], pictures)


def test_a_seed_decides_everything(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """Who else draws, and how often a span is decoded, changes neither text nor what is left."""
    options = {"max_new_tokens": STEPS, "do_sample": True, "temperature": 1.5, "eos_token_id": None}
    set_seed(2)
    plain = tiny[0].generate(**inputs, **options)
    after = torch.rand(3)

    def draw(step: Step) -> bool:
        torch.rand(17)
        return step.position % 3 == 0

    set_seed(2)
    generation = ResumableGeneration(tiny[0], inputs, options)
    generation.advance(draw)
    torch.rand(5)
    generation.advance(at(generation.prompt_length + 9), before_pass=lambda ids: set_seed(len(ids)))
    for new in (8, 3, 0, 5):
        generation.rollback(min(generation.prompt_length + new, generation.length))
        torch.rand(1)
        generation.advance(at(generation.length + 3))
    finish(generation, pause=draw)
    assert torch.equal(generation.sequences, plain)
    assert torch.equal(torch.rand(3), after)


def test_another_seed_draws_other_tokens_in_the_free_rows(
    tiny: Any, inputs: dict[str, Tensor]
) -> None:
    """Tries can differ, each can be repeated, and the rows that are held do not move."""
    options = {"max_new_tokens": STEPS, "do_sample": True, "temperature": 1.5, "eos_token_id": None}
    set_seed(2)
    generation = ResumableGeneration(tiny[0], inputs, options)
    generation.advance()
    first = generation.sequences
    prompt = generation.prompt_length
    tries = []
    force: Tensor | None = None
    for seed in (1, 2, 1):
        tail = generation.rollback(prompt + 3, seed=seed)
        force = tail.clone() if force is None else force
        force[0] = -1
        generation.advance(force=force)
        assert torch.equal(generation.sequences[1:], first[1:])
        tries.append(generation.sequences[0].clone())
    assert torch.equal(tries[0], tries[2])
    assert not torch.equal(tries[0], tries[1])
    assert not torch.equal(tries[0], first[0])
