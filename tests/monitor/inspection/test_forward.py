"""One pass over prompt and caption: what it reads is what eager attention and the head show."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sightline.monitor.errors import ModelError
from sightline.monitor.inspection.forward import look
from sightline.monitor.models.anatomy import Anatomy
from torch import nn

from ..families import Family, build

CAPTION = (11, 42, 7, 63, 19, 88, 5)
ROWS = (0, 3, 7, 3)
ASKED = (7, 63)


@pytest.fixture(
    params=(
        "llava",
        "llava_next",
        "qwen2_5_vl",
        "qwen3_vl",
        "internvl",
        "idefics3",
        "gemma3",
        "paligemma",
        "glm4v",
    ),
    scope="module",
)
def family(request: pytest.FixtureRequest) -> Family:
    """A family's tiny model and one prompt."""
    found = build(request.param, rows=1)
    if found.name == "paligemma":  # as its processor has it: all of a prompt is of one type
        found.inputs["token_type_ids"].zero_()
    return found


def longer(family: Family) -> dict[str, Any]:
    """The inputs with the caption behind the prompt, by the rules of each family's types."""
    new = torch.tensor([CAPTION])
    given: dict[str, Any] = dict(family.inputs)
    for name, value in family.inputs.items():
        if name in ("input_ids", "attention_mask") or name.endswith("token_type_ids"):
            fill = new if name == "input_ids" else torch.zeros_like(new)
            if name == "attention_mask" or (family.name == "paligemma" and "type" in name):
                fill = torch.ones_like(new)
            given[name] = torch.cat([value, fill], dim=1)
    return given


@torch.no_grad()
def test_rows_and_readings_are_those_of_a_dense_pass(family: Family) -> None:
    """VAR, attention to each image token, and Eq. 2 there, all within 1e-5 of the plain tensors."""
    anatomy, model = family.anatomy, family.model
    glance = look(anatomy, family.inputs, CAPTION, ROWS, asked=ASKED)
    blocks: list[torch.Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        blocks.append(output[0] if isinstance(output, tuple) else output)

    hooks = [block.register_forward_hook(keep) for block in anatomy.blocks]
    model.set_attn_implementation("eager")
    try:
        dense = model(
            **longer(family), output_attentions=True, output_hidden_states=True, use_cache=False
        )
    finally:
        model.set_attn_implementation("sdpa")
        for hook in hooks:
            hook.remove()
    prompt = family.image.shape[1]
    image = family.image[0].nonzero().flatten()
    rows = torch.tensor(ROWS) + prompt - 1
    maps = torch.stack(dense.attentions)[:, 0].mean(dim=1)  # [layers, queries, keys]
    expected = maps[:, rows][..., image].transpose(0, 1)
    assert glance.layers == anatomy.layers
    torch.testing.assert_close(torch.tensor(glance.patches), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.tensor(glance.var), expected.sum(-1), rtol=0, atol=1e-5)

    assert anatomy.lm_head is not None
    assert anatomy.final_norm is not None
    states = [*dense.hidden_states[1:-1], blocks[-1]]  # the last one is shown behind the norm
    if family.name == "qwen3_vl":  # shows what DeepStack has added to: a layer's own is hooked
        states = blocks
    probabilities = torch.stack(
        [anatomy.lm_head(anatomy.final_norm(state[0, image])).softmax(-1) for state in states]
    )
    reading = glance.reading
    assert reading is not None
    best = probabilities.max(dim=-1)
    torch.testing.assert_close(reading.share, best.values, rtol=0, atol=1e-5)
    seen = probabilities.gather(2, reading.top[..., None])[..., 0]
    torch.testing.assert_close(seen, best.values, rtol=0, atol=1e-5)
    asked = probabilities[..., list(ASKED)].permute(2, 0, 1)
    torch.testing.assert_close(reading.asked, asked, rtol=0, atol=1e-5)


def test_nothing_wide_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head reads the last position and, a few at a time, the image tokens: never all."""
    family = build("llava", rows=1)
    anatomy = family.anatomy
    monkeypatch.setattr("sightline.monitor.attention.lens._LOGITS", {"cpu": 3 * 120})
    widths: list[int] = []
    head = anatomy.lm_head
    assert head is not None
    hook = head.register_forward_hook(lambda module, args, output: widths.append(output.shape[1]))
    try:
        look(anatomy, family.inputs, CAPTION, ROWS, asked=ASKED)
    finally:
        hook.remove()
    assert sum(widths) == int(family.image.sum()) * len(anatomy.layers) + 1
    assert max(widths) == 3


def test_without_the_lens_no_head_is_needed() -> None:
    """A model whose head is not known is looked at all the same, but for what its patches read."""
    family = build("llava", rows=1)
    anatomy = Anatomy.of(family.model)
    object.__setattr__(anatomy, "lm_head", None)
    assert look(anatomy, family.inputs, CAPTION, ROWS, asked=None).reading is None
    with pytest.raises(ModelError, match="lm_head="):
        look(anatomy, family.inputs, CAPTION, ROWS, asked=ASKED)


class _Broken(nn.Module):
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError


def test_the_model_is_left_as_found() -> None:
    """Modes, positions, hooks and configs are what they were, also after an error in the middle."""
    family = build("qwen2_5_vl", rows=1)
    model, anatomy = family.model, family.anatomy
    model.train()
    anatomy.blocks[1].eval()
    model.model.rope_deltas = kept = torch.tensor([[5]])
    modes = [module.training for module in model.modules()]
    configs = [getattr(module, "config", None) for module in model.modules()]
    norm = anatomy.final_norm
    for broken in (None, _Broken()):
        object.__setattr__(anatomy, "final_norm", broken or norm)
        if broken is None:
            look(anatomy, family.inputs, CAPTION, ROWS, asked=ASKED)
        else:
            with pytest.raises(ZeroDivisionError):
                look(anatomy, family.inputs, CAPTION, ROWS, asked=ASKED)
        assert [module.training for module in model.modules()] == modes
        now = [getattr(module, "config", None) for module in model.modules()]
        assert all(one is other for one, other in zip(now, configs, strict=True))
        assert model.model.rope_deltas is kept
        for module in model.modules():
            for hook in module._forward_hooks.values():
                assert "sightline" not in getattr(hook, "__module__", "sightline")
            for before in module._forward_pre_hooks.values():
                assert "sightline" not in getattr(before, "__module__", "")
