"""Rows end by the rules of generate, also in a span that is decoded again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.decoding.forcing import Ban
from sightline.monitor.decoding.resumable import ResumableGeneration
from sightline.monitor.decoding.step import Step
from torch import Tensor
from transformers import StoppingCriteria

from ..resuming import RECORDS, STEPS, at, end_tokens, every, finish, padded_prompts


@pytest.fixture
def inputs(tiny: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    return padded_prompts(tiny[1], pictures)


@pytest.fixture
def ends(tiny: Any, inputs: dict[str, Tensor]) -> list[int]:
    """Tokens that end the rows at different lengths when they end captions."""
    return end_tokens(tiny[0], inputs)


class _Stop(StoppingCriteria):
    """A rule of the user's: a row ends with any of some tokens."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = torch.tensor(tokens)

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        return torch.isin(input_ids[:, -1], self.tokens)


def test_stop_strings_are_honoured(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """A stop string ends its row where it would; in a span decoded again too."""
    model, processor = tiny
    written = model.generate(**inputs, max_new_tokens=STEPS, eos_token_id=None)
    prompt = inputs["input_ids"].shape[1]
    stop = processor.tokenizer.decode(written[1, prompt + 4 : prompt + 6])
    options = {
        "max_new_tokens": STEPS,
        "stop_strings": [stop],
        "tokenizer": processor.tokenizer,
        "eos_token_id": 2,
    }
    plain = model.generate(**inputs, **options)
    assert plain[1, prompt + 6 :].eq(0).all()
    generation = ResumableGeneration(model, inputs, options)
    finish(generation, pause=every)
    assert torch.equal(generation.sequences, plain)
    generation.rollback(prompt + 3)
    assert not generation.ended.any()
    force = torch.full((3, 2), -1)
    force[0] = written[1, prompt + 4 : prompt + 6]
    generation.advance(at(prompt + 6), force=force)
    assert generation.ended[0]
    finish(generation)
    assert generation.sequences[0, prompt + 5 :].eq(0).all()


def test_an_end_token_in_a_span_decoded_again_ends_the_row(
    tiny: Any, inputs: dict[str, Tensor], ends: list[int]
) -> None:
    """The row is filled from there; rows that had ended later live again, and end as they did."""
    options = {"max_new_tokens": STEPS, "eos_token_id": ends, "pad_token_id": 0}
    generation = ResumableGeneration(tiny[0], inputs, options)
    finish(generation)
    prompt = generation.prompt_length
    before = generation.sequences.clone()
    ended = generation.ended.clone()
    tail = generation.rollback(prompt + 2)
    assert not generation.ended.any()
    force = tail.clone()
    force[2] = -1
    force[2, 0] = ends[0]
    finish(generation, force=force)
    width = generation.length
    assert torch.equal(generation.sequences[:2], before[:2, :width])
    assert generation.sequences[2, prompt + 2] == ends[0]
    assert generation.sequences[2, prompt + 3 :].eq(0).all()
    assert ended.all()


def test_a_row_that_no_longer_ends_goes_on(
    tiny: Any, inputs: dict[str, Tensor], ends: list[int]
) -> None:
    """Where a row had ended before it was taken back means nothing for what it says instead."""
    options = {"max_new_tokens": STEPS, "eos_token_id": ends, "pad_token_id": 0}
    generation = ResumableGeneration(tiny[0], inputs, options)
    prompt = generation.prompt_length
    generation.advance(at(prompt + 6))
    assert generation.ended.tolist() == [True, False, False]
    tail = generation.rollback(prompt + 2)
    assert tail[0].ge(0).tolist() == [True, True, False, False]
    assert tail[1:].ge(0).all()
    ban = Ban(0, frozenset(ends), prompt, prompt + STEPS)
    finish(generation, force=tail[:, :1], bans=[ban], pause=at(prompt + 6))
    written = generation.sequences[0, prompt:]
    assert len(written) > 6
    assert not torch.isin(written[:6], torch.tensor([*ends, 0])).any()


def test_the_length_limit_counts_from_the_prompt(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """However often it is taken back, a generation ends at max_new_tokens, and stays ended."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 6, "eos_token_id": None})
    for _ in range(3):
        assert generation.advance() == "ended"
        assert generation.length == generation.prompt_length + 6
        assert generation.advance(every) == "ended"
        generation.rollback(generation.prompt_length + 4)


def test_the_time_limit_is_that_of_the_whole(
    tiny: Any, inputs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """max_time runs from the beginning: a pause does not start it anew."""
    now = [1000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    options = {"max_new_tokens": STEPS, "max_time": 10.0, "eos_token_id": None}
    generation = ResumableGeneration(tiny[0], inputs, options)
    assert generation.advance(at(generation.prompt_length + 2)) == "paused"
    now[0] += 11.0
    assert generation.advance() == "ended"
    assert generation.length == generation.prompt_length + 3


def test_a_rule_of_the_users_sees_all_scores(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """A stopping criterion is given the scores of the whole generation, as in one call."""
    seen: list[int] = []

    class Count(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
            seen.append(len(scores))
            return torch.zeros(len(input_ids), dtype=torch.bool)

    options = {**RECORDS, "max_new_tokens": 5, "stopping_criteria": [Count()], "eos_token_id": None}
    finish(ResumableGeneration(tiny[0], inputs, options), pause=every)
    assert seen == [1, 2, 3, 4, 5]


def test_rows_ended_by_a_rule_of_the_users_stay_ended(
    tiny: Any, inputs: dict[str, Tensor], ends: list[int]
) -> None:
    """With an end token they are filled, without one they go on, as in a plain call."""
    for eos in (2, None):
        options: dict[str, Any] = {"max_new_tokens": STEPS, "eos_token_id": eos}
        options["stopping_criteria"] = [_Stop(ends)]
        plain = tiny[0].generate(**inputs, **options)
        generation = ResumableGeneration(tiny[0], inputs, options)
        finish(generation, pause=every)
        assert torch.equal(generation.sequences, plain)


def test_ended_rows_are_told_apart_from_filling(
    tiny: Any, inputs: dict[str, Tensor], ends: list[int]
) -> None:
    """A step says which rows ended with its token, and whose token is only filling."""
    options = {"max_new_tokens": STEPS, "eos_token_id": ends, "pad_token_id": 0}
    generation = ResumableGeneration(tiny[0], inputs, options)
    ended = torch.zeros(3, dtype=torch.bool)

    def check(step: Step) -> bool:
        nonlocal ended
        assert torch.equal(step.filling, ended)
        assert step.tokens[step.filling].eq(0).all()
        ended = ended | torch.isin(step.tokens, torch.tensor(ends))
        last = step.position == generation.prompt_length + STEPS - 1
        assert torch.equal(step.ended, torch.ones_like(ended) if last else ended)
        return True

    finish(generation, pause=check)
