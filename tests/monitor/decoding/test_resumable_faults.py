"""A generation that broke keeps what was complete, and can go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.decoding.resumable import ResumableGeneration
from sightline.monitor.decoding.rollback import RollbackError
from torch import Tensor

from ..resuming import RECORDS, STEPS, Fault, at, padded_prompts, same


@pytest.fixture
def inputs(tiny: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    return padded_prompts(tiny[1], pictures)


@pytest.mark.parametrize(
    ("where", "error", "kind"),
    [
        ("pause", RuntimeError("mine"), None),
        ("pause", KeyboardInterrupt(), "static"),
        ("before_pass", RuntimeError("mine"), None),
        ("processor", RuntimeError("mine"), None),
        ("layer", RuntimeError("out of memory"), None),
        ("layer", KeyboardInterrupt(), "static"),
    ],
)
@pytest.mark.parametrize("segment", [0, 1])
def test_a_fault_leaves_a_generation_that_can_go_on(
    tiny: Any,
    inputs: dict[str, Tensor],
    kind: str | None,
    error: BaseException,
    where: str,
    segment: int,
) -> None:
    """Whatever breaks, and where: complete steps are kept, and the rest comes out as plain."""
    model = tiny[0]
    fault = Fault(error, at=inputs["input_ids"].shape[1] + 3 + 3 * segment)
    options: dict[str, Any] = {"max_new_tokens": STEPS, "cache_implementation": kind}
    options["eos_token_id"] = None
    plain = model.generate(**inputs, **options)
    if where == "processor":
        options["logits_processor"] = [fault]
    generation = ResumableGeneration(model, inputs, options)
    if segment:
        generation.advance(at(generation.prompt_length + 5))
        generation.rollback(generation.prompt_length + 2)
    hook = None
    if where == "layer":  # half of the layers have seen the token
        middle = model.model.language_model.layers[3]
        hook = middle.register_forward_pre_hook(lambda *_: fault.strike(generation.length))
    callbacks: dict[str, Any] = {}
    if where == "pause":
        callbacks["pause"] = lambda step: fault.check(step.ids.shape[1])
    if where == "before_pass":
        callbacks["before_pass"] = lambda ids: fault.strike(ids.shape[1])
    try:
        with pytest.raises(type(error)):
            generation.advance(**callbacks)
    finally:
        if hook is not None:
            hook.remove()
    length = generation.length
    assert length == fault.at
    assert torch.equal(generation.sequences, plain[:, :length])
    assert not fault.armed
    generation.advance()
    assert torch.equal(generation.sequences, plain)


def test_a_fault_while_the_prompt_is_read_starts_over(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """Nothing was decoded, so the next call begins at the beginning."""
    fault = Fault(RuntimeError("out of memory"), at=inputs["input_ids"].shape[1])
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 4})
    layer = tiny[0].model.language_model.layers[2]
    hook = layer.register_forward_pre_hook(lambda *_: fault.strike(generation.length))
    with pytest.raises(RuntimeError, match="out of memory"):
        generation.advance()
    hook.remove()
    generation.advance()
    assert torch.equal(generation.sequences, tiny[0].generate(**inputs, max_new_tokens=4))


def test_a_fault_while_reading_anew_is_made_up_for(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """The pass that broke is taken again, from as far back, whether or not more is taken back."""
    options = {"max_new_tokens": STEPS, "eos_token_id": None}
    plain = tiny[0].generate(**inputs, **options)
    for back in (0, 1, 5):
        generation = ResumableGeneration(tiny[0], inputs, options)
        prompt = generation.prompt_length
        generation.advance(at(prompt + 8))
        generation.reread(prompt + 5)
        fault = Fault(RuntimeError("out of memory"), at=prompt + 8)
        layer = tiny[0].model.language_model.layers[3]
        hook = layer.register_forward_pre_hook(lambda *_, fault=fault: fault.strike(fault.at))
        with pytest.raises(RuntimeError, match="out of memory"):
            generation.advance()
        hook.remove()
        generation.rollback(prompt + 8 - back)
        generation.advance()
        assert torch.equal(generation.sequences, plain)


def test_records_lost_in_a_fault_must_be_decoded_again(
    tiny: Any, inputs: dict[str, Tensor]
) -> None:
    """Scores die with the call that broke; the error names the length to go back to."""
    options = {**RECORDS, "max_new_tokens": 8, "eos_token_id": None}
    plain = tiny[0].generate(**inputs, **options)
    generation = ResumableGeneration(tiny[0], inputs, options)
    prompt = generation.prompt_length
    generation.advance(at(prompt + 2))
    fault = Fault(RuntimeError("lost"), at=prompt + 5)
    with pytest.raises(RuntimeError, match="lost"):
        generation.advance(lambda step: fault.check(step.ids.shape[1]))
    assert torch.equal(generation.sequences, plain.sequences[:, : prompt + 5])
    with pytest.raises(RollbackError, match=rf"rollback\({prompt + 2}\) first"):
        generation.advance()
    generation.rollback(prompt + 2)
    generation.advance()
    assert same(generation.output, plain)
