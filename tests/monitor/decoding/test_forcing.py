"""What is forced comes, what is banned does not, and the other rows notice neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.decoding.forcing import Ban, DeadEndError
from sightline.monitor.decoding.resumable import ResumableGeneration
from torch import Tensor
from transformers import WatermarkingConfig

from ..resuming import RECORDS, STEPS, at, padded_prompts, same


@pytest.fixture
def inputs(tiny: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    return padded_prompts(tiny[1], pictures)


def test_the_original_can_be_put_back(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """After a try that failed, forcing what was cut off restores every bit of it."""
    options = {**RECORDS, "max_new_tokens": STEPS, "eos_token_id": None}
    plain = tiny[0].generate(**inputs, **options)
    generation = ResumableGeneration(tiny[0], inputs, options)
    prompt = generation.prompt_length
    generation.advance(at(prompt + 8))
    tail = generation.rollback(prompt + 3)
    taken = frozenset(tail[0].tolist())
    generation.advance(at(prompt + 8), bans=[Ban(0, taken, prompt + 3, prompt + 8)])
    assert not taken & set(generation.sequences[0, prompt + 3 :].tolist())
    generation.rollback(prompt + 3)
    generation.advance(force=tail)
    assert same(generation.output, plain)


def test_what_is_forced_outlasts_a_pause(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """A pause in the middle of a replay leaves the rest of it in force, a rollback hands it out."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 9, "eos_token_id": None})
    prompt = generation.prompt_length
    force = torch.tensor([[7, 8, 9, 10, 11, 12], [-1] * 6, [20, 21, 22, 23, 24, 25]])
    generation.advance(at(prompt + 2), force=force)
    generation.advance(at(prompt + 4))
    assert generation.sequences[0, prompt:].tolist() == [7, 8, 9, 10]
    tail = generation.rollback(prompt + 3)
    assert tail[0].tolist() == [10, 11, 12]
    assert tail[1, 0] >= 0
    assert tail[1, 1:].tolist() == [-1, -1]
    generation.advance(force=tail)
    assert generation.sequences[2, prompt : prompt + 6].tolist() == [20, 21, 22, 23, 24, 25]


FILTERS: list[dict[str, Any]] = [
    {"top_p": 0.3},
    {"top_k": 2, "temperature": 0.2},
    {"min_p": 0.2},
    {"typical_p": 0.3},
    {"top_h": 0.3},
    {"epsilon_cutoff": 0.1},
    {"eta_cutoff": 0.1},
    {"renormalize_logits": True},
    {"watermarking_config": WatermarkingConfig()},
]


@pytest.mark.parametrize("options", FILTERS, ids=lambda options: next(iter(options)))
def test_a_forced_token_comes_through_every_filter(
    tiny: Any, inputs: dict[str, Tensor], options: dict[str, Any]
) -> None:
    """Sampling's own filters come after ours; the least likely token still gets through."""
    options = {**RECORDS, **options, "do_sample": True, "max_new_tokens": 3, "eos_token_id": None}
    generation = ResumableGeneration(tiny[0], inputs, options)
    generation.advance()
    output: Any = generation.output
    force = torch.stack([logits.argmin(dim=1) for logits in output.logits], dim=1)
    force[1] = -1
    before = generation.sequences.clone()
    generation.rollback(generation.prompt_length)
    generation.advance(force=force)
    written = generation.sequences[:, generation.prompt_length :]
    assert torch.equal(written[0], force[0])
    assert torch.equal(written[2], force[2])
    assert torch.equal(generation.sequences[1], before[1])


def test_a_forced_token_wins_over_a_ban(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """Bans are for rows that are free."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 2, "eos_token_id": None})
    prompt = generation.prompt_length
    force = torch.full((3, 1), 30)
    everything = frozenset(range(tiny[0].config.text_config.vocab_size))
    generation.advance(force=force, bans=[Ban(0, everything, prompt, prompt + 1)])
    assert generation.sequences[:, prompt].tolist() == [30, 30, 30]


def test_a_row_without_a_token_left_is_an_error(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """The error says where; what was decoded before stays, and can be gone on from."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 5, "eos_token_id": None})
    prompt = generation.prompt_length
    size = tiny[0].config.text_config.vocab_size
    everything = Ban(1, frozenset(range(size)), prompt + 2, prompt + 3)
    with pytest.raises(DeadEndError, match=f"row 1 has none at position {prompt + 2}") as caught:
        generation.advance(bans=[everything])
    assert (caught.value.row, caught.value.position) == (1, prompt + 2)
    assert generation.length == prompt + 2
    generation.advance()
    assert torch.equal(
        generation.sequences, tiny[0].generate(**inputs, max_new_tokens=5, eos_token_id=None)
    )
