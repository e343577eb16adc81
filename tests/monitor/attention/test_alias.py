"""The name a watched config answers: the model's own to whoever compares, ours to the registry."""

from __future__ import annotations

import pytest
import torch
from sightline.monitor.attention.alias import NAME, Alias, TracedAlias, traced
from sightline.monitor.attention.tap import AttentionTap
from torch import Tensor

from ...support.family import build


@pytest.mark.parametrize("own", ["sdpa", "eager", "flash_attention_2"])
def test_it_passes_for_the_own_name_and_is_found_under_ours(own: str) -> None:
    """Equal to both in comparisons, the own name as text, and a key of our entry alone."""
    alias = Alias(own)
    assert alias == own
    assert alias in ("other", own)
    assert alias != "other"
    assert alias == Alias(own)
    assert own[:4] in alias
    assert {NAME: "ours", own: "own"}[alias] == "ours"


def test_what_is_traced_passes_for_both_names_too() -> None:
    """Equal to both, its text ours, and the same object for every watch, so that graphs last."""
    alias = TracedAlias("sdpa")
    assert alias == "sdpa"
    assert alias == NAME
    assert alias in ("eager", "sdpa")
    assert alias != "eager"
    assert {NAME: "ours", "sdpa": "own"}[alias] == "ours"

    class Compares:
        def forward(self) -> bool:
            return self.name in ("eager", "sdpa")

        name = ""

    class Asks:
        def forward(self) -> str:
            return self.name

        name = ""

    assert traced(Compares, "sdpa") is traced(Compares, "sdpa")
    assert isinstance(traced(Compares, "sdpa"), TracedAlias)
    assert not isinstance(traced(Compares, "flash_attention_2"), TracedAlias)
    assert traced(Asks, "sdpa") == NAME
    assert traced(Asks, "sdpa") != "sdpa"


@pytest.mark.parametrize("name", ["mistral_large4", "minimax_m3_vl", "dots3_note"])
def test_models_that_compare_the_name_compute_the_same(name: str) -> None:
    """Their masks for indexed attention are made by name: watched, not a bit changes."""
    family = build(name)
    options = {"max_new_tokens": 6, "do_sample": False, "output_logits": True}

    def generate(**more: object) -> tuple[Tensor, ...]:
        logits: tuple[Tensor, ...] = family.model.generate(
            **family.inputs, **options, **more, return_dict_in_generate=True
        ).logits
        return logits

    plain = generate()
    mask = family.inputs["attention_mask"]
    with AttentionTap(family.anatomy, family.image, prompt_mask=mask):
        watched = generate()
    assert all(map(torch.equal, plain, watched))


@pytest.mark.parametrize("name", ["inkling_mm_model", "inkling2"])
def test_biases_of_position_and_sinks_of_the_query_count(name: str) -> None:
    """VAR is that of the weights which the eager function itself returns in the same pass."""
    family = build(name)
    model, image = family.model, family.image
    model.set_attn_implementation("eager")
    weights: list[Tensor] = []
    attentions = family.anatomy.attentions
    hooks = [m.register_forward_hook(lambda *a: weights.append(a[2][1])) for m in attentions]
    mask = family.inputs["attention_mask"]
    try:
        with AttentionTap(family.anatomy, image, prompt_mask=mask) as tap, torch.no_grad():
            model(**family.inputs)
            step = tap.take()
        with AttentionTap(family.anatomy, image, prompt_mask=mask, rows=3) as tap, torch.no_grad():
            model(**family.inputs)
            rows = tap.take()
    finally:
        for hook in hooks:
            hook.remove()
    for layer, shown in enumerate(weights[: len(attentions)]):
        var = (shown[:, :, -3:] * image[:, None, None]).sum(-1)
        torch.testing.assert_close(rows.masses[:, layer, ..., 0], var, rtol=0, atol=1e-5)
        torch.testing.assert_close(step.masses[:, layer, :, 0], var[..., -1], rtol=0, atol=1e-5)
