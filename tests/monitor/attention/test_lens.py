"""The lens: Eq. 2 and each layer's contribution against plain computations, and no trace left."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from sightline.monitor.attention.lens import Lens
from sightline.monitor.errors import ModelError, WatchError
from sightline.monitor.events import Token
from sightline.monitor.models.anatomy import Anatomy
from sightline.monitor.session import Monitor
from torch import Tensor, nn
from transformers import GraniteConfig, LlavaNextForConditionalGeneration, LogitsProcessor

from ..families import FAMILIES, Family, build

STEPS = 4
# What the layer's attention leaves behind in the residual stream is what this norm is given.
MIDDLE_NORM = {"gemma3": "pre_feedforward_layernorm"}


class Taking(LogitsProcessor):
    """Takes each step, and the scores that its token is picked from."""

    def __init__(self, lens: Lens) -> None:
        self.lens = lens
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        self.steps.append(self.lens.take().of(scores.argmax(dim=1)))
        return scores


def generate(family: Family, **options: Any) -> Any:
    """A greedy run that keeps its raw logits."""
    return family.model.generate(
        **family.inputs,
        max_new_tokens=STEPS,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
        **options,
    )


def looked_at(family: Family) -> tuple[Any, Tensor]:
    """A greedy run under the lens: what ``generate`` gave, and ``[steps, rows, 1 + layers]``."""
    with Lens(Anatomy.of(family.model), family.image) as lens:
        take = Taking(lens)
        output = generate(family, logits_processor=[take])
    return output, torch.stack(take.steps)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    """One family after the other."""
    return build(request.param)


def layer_outputs(model: Any, run: Callable[[], Any]) -> list[list[Tensor]]:
    """What every decoder layer gave in each pass of ``run``: ``[layer][pass]``."""
    blocks = Anatomy.of(model).blocks
    kept: list[list[Tensor]] = [[] for _ in blocks]

    def keep(place: list[Tensor]) -> Callable[..., None]:
        return lambda module, args, output: place.append(
            (output[0] if isinstance(output, tuple) else output).clone()
        )

    hooks = [
        block.register_forward_hook(keep(place)) for block, place in zip(blocks, kept, strict=True)
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return kept


def test_no_bit_changes(family: Family) -> None:
    """Tokens and raw logits under the lens are those of the plain run."""
    plain = generate(family)
    output, _ = looked_at(family)
    assert torch.equal(output.sequences, plain.sequences)
    assert all(torch.equal(a, b) for a, b in zip(output.logits, plain.logits, strict=True))
    hooks = [hook for module in family.model.modules() for hook in module._forward_hooks.values()]
    assert not [hook for hook in hooks if getattr(hook, "__module__", "").startswith("sightline")]


@torch.no_grad()
def test_confidence_is_eq_2(family: Family) -> None:
    """Internal confidence is the maximum of Eq. 2 over every layer and image token."""
    output, steps = looked_at(family)
    anatomy = Anatomy.of(family.model)
    hidden = family.model(**family.inputs, output_hidden_states=True).hidden_states
    assert anatomy.lm_head is not None
    assert anatomy.final_norm is not None
    # transformers shows the last layer's states after the norm, and the others before it. Where
    # something is added between layers (DeepStack) it shows the sum: the layer's own is hooked.
    outputs = [
        states[0] for states in layer_outputs(family.model, lambda: family.model(**family.inputs))
    ]
    normed = [anatomy.final_norm(states) for states in outputs]
    torch.testing.assert_close(normed[-1], hidden[-1], rtol=0, atol=1e-5)
    if family.name != "qwen3_vl":
        for own, shown in zip(outputs[:-1], hidden[1:-1], strict=True):
            torch.testing.assert_close(own, shown, rtol=0, atol=1e-5)
    for row, image in enumerate(family.image):
        seen = torch.stack(
            [anatomy.lm_head(states[row, image]).softmax(-1) for states in normed]
        ).amax(dim=(0, 1))
        tokens = output.sequences[row, -STEPS:]
        torch.testing.assert_close(steps[:, row, 0], seen[tokens], rtol=0, atol=1e-5)


@torch.no_grad()
def test_contributions_are_direct_logit_attribution(family: Family) -> None:
    """A layer's contribution is its attention's part of the logit under the last norm's scale."""
    anatomy = Anatomy.of(family.model)
    before: list[list[Tensor]] = [[] for _ in anatomy.blocks]
    added: list[list[Tensor]] = [[] for _ in anatomy.blocks]
    hooks = []
    for layer, block in enumerate(anatomy.blocks):
        whole: Any = block

        def entered(_: Any, args: Any, kwargs: Any, layer: int = layer) -> None:
            before[layer].append((args[0] if args else kwargs["hidden_states"])[:, -1].clone())

        def middle(_: Any, args: Any, layer: int = layer) -> None:
            added[layer].append(args[0][:, -1] - before[layer][-1])

        def projected(_: Any, args: Any, output: Tensor, layer: int = layer) -> None:
            added[layer].append(output[:, -1].clone())

        hooks.append(block.register_forward_pre_hook(entered, with_kwargs=True))
        if family.name == "aya_vision":  # attention and MLP side by side: nothing between them
            hooks.append(whole.self_attn.o_proj.register_forward_hook(projected))
        else:
            norm = getattr(whole, MIDDLE_NORM.get(family.name, "post_attention_layernorm"))
            hooks.append(norm.register_forward_pre_hook(middle))
    try:
        last = layer_outputs(family.model, lambda: generate(family))[-1]
    finally:
        for hook in hooks:
            hook.remove()
    output, steps = looked_at(family)
    assert anatomy.final_norm is not None
    assert anatomy.lm_head is not None
    centred = family.name == "aya_vision"
    weight: Any = anatomy.lm_head.weight
    for step in range(STEPS):
        state = last[step][:, -1]
        mean = state.mean(-1, keepdim=True) if centred else 0.0
        # The norm's own gain and scale, element by element.
        factor = anatomy.final_norm(state).double() / (state - mean).double()
        direction = weight[output.sequences[:, step - STEPS]].double()
        for layer in anatomy.layers:
            part = added[layer][step].double()
            part = part - part.mean(-1, keepdim=True) if centred else part
            expected = (part * factor * direction).sum(-1).float()
            torch.testing.assert_close(steps[step, :, 1 + layer], expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_the_parts_of_a_logit_add_up(family: Family) -> None:
    """The whole of the last hidden state contributes the whole logit."""
    anatomy = Anatomy.of(family.model)
    lens = Lens(anatomy, family.image)
    output: Any = None

    def run() -> None:
        nonlocal output
        output = family.model(**family.inputs)

    last = layer_outputs(family.model, run)[-1][0][:, -1]
    parts = torch.stack([0.25 * last, 0.75 * last], dim=1)
    assert anatomy.lm_head is not None
    logits = anatomy.lm_head(lens._share(parts, last)).sum(dim=1)
    torch.testing.assert_close(logits, output.logits[:, -1], rtol=1e-4, atol=1e-4)


def test_a_multiplier_of_the_residual_counts() -> None:
    """Granite scales what attention adds: so does the lens."""
    family = build("llava_next")
    shape = family.model.config.get_text_config()
    options = {
        name: getattr(shape, name)
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    }
    found = []
    for multiplier in (1.0, 1e-3):
        config = copy.deepcopy(family.model.config)
        config.text_config = GraniteConfig(
            **options, num_attention_heads=4, residual_multiplier=multiplier, pad_token_id=0
        )
        torch.manual_seed(5)
        model = LlavaNextForConditionalGeneration(config).eval()
        with Lens(Anatomy.of(model), family.image, layers=(0,)) as lens, torch.no_grad():
            hidden = layer_outputs(model, lambda: model(**family.inputs))  # noqa: B023
            step = lens.take()
        found.append(step.added.norm() * hidden[-1][0][:, -1].norm())
    # The first layer attends to the same embeddings; only the multiplier differs.
    assert float(found[1] / found[0]) == pytest.approx(1e-3, rel=0.2)


@pytest.mark.parametrize("room", [1, 40, 10**6])
def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """However few image tokens are read at once, the confidence is the same."""
    family = build("llava")
    _, expected = looked_at(family)
    monkeypatch.setattr("sightline.monitor.attention.lens._LOGITS", {"cpu": room})
    _, steps = looked_at(family)
    torch.testing.assert_close(steps, expected, rtol=0, atol=1e-6)


def test_rows_with_fewer_image_tokens() -> None:
    """Two images in one row and one in the other: each row sees its own alone."""
    family = build("llava")
    model = family.model
    image_token = model.config.image_token_index
    text = family.inputs["input_ids"][0][:5]
    pictures = torch.full((16,), image_token)
    ids = torch.stack(
        [
            torch.cat([text, pictures, text, pictures, text]),
            torch.cat([text, pictures, text.repeat(6)[:26]]),
        ]
    )
    pixels = torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}
    both = Family("llava", model, given)
    output, steps = looked_at(both)
    alone = Family(
        "llava",
        model,
        {
            "input_ids": ids[1:],
            "attention_mask": torch.ones_like(ids[1:]),
            "pixel_values": pixels[2:],
        },
    )
    output_alone, steps_alone = looked_at(alone)
    assert torch.equal(output.sequences[1:], output_alone.sequences)
    torch.testing.assert_close(steps[:, 1:], steps_alone, rtol=0, atol=1e-5)


def test_several_samples_of_one_prompt() -> None:
    """A prompt's copies see the prompt's image."""
    family = build("llava")
    _, expected = looked_at(family)
    with Lens(Anatomy.of(family.model), family.image) as lens:
        take = Taking(lens)
        doubled = {name: value.repeat_interleave(2, dim=0) for name, value in family.inputs.items()}
        generate(Family("llava", family.model, doubled), logits_processor=[take])
    torch.testing.assert_close(torch.stack(take.steps)[:, ::2], expected, rtol=0, atol=1e-5)


def test_an_image_in_the_cache_is_not_known() -> None:
    """Where the prompt was read before, confidence is unknown and contributions are not."""
    family = build("llava")
    model = family.model
    prompt = model.generate(
        **family.inputs, max_new_tokens=1, do_sample=False, return_dict_in_generate=True
    )
    cache = prompt.past_key_values
    mask = torch.cat([family.inputs["attention_mask"], torch.ones(2, 1).long()], dim=1)
    with Lens(Anatomy.of(model), family.image) as lens:
        take = Taking(lens)
        model.generate(
            input_ids=prompt.sequences,
            attention_mask=mask,
            past_key_values=cache,
            max_new_tokens=2,
            do_sample=False,
            logits_processor=[take],
        )
    steps = torch.stack(take.steps)
    assert steps[:, :, 0].isnan().all()
    assert steps[:, :, 1:].isfinite().all()


def test_only_the_layers_asked_for() -> None:
    """Contributions are of the given layers; the confidence is over all of them all the same."""
    family = build("llava")
    _, expected = looked_at(family)
    with Lens(Anatomy.of(family.model), family.image, layers=(1, 3)) as lens:
        take = Taking(lens)
        generate(family, logits_processor=[take])
    torch.testing.assert_close(torch.stack(take.steps), expected[:, :, [0, 2, 4]], rtol=0, atol=0)


@pytest.mark.parametrize("part", ["lm_head", "final_norm"])
def test_what_is_missing_is_named(part: str) -> None:
    """Without head or norm the error names the argument that overrides the search."""
    family = build("llava")
    missing: dict[str, Any] = {part: None}
    anatomy = replace(Anatomy.of(family.model), **missing)
    with pytest.raises(ModelError, match=f"{part}="):
        Lens(anatomy, family.image)


def test_a_head_without_a_matrix_is_refused() -> None:
    """A head whose weight is no matrix of numbers cannot be looked through."""
    family = build("llava")
    anatomy = Anatomy.of(family.model, lm_head=nn.Identity())
    with pytest.raises(ModelError, match="has: none"):
        Lens(anatomy, family.image)


def test_take_needs_a_pass() -> None:
    """A step can be taken once."""
    family = build("llava")
    with Lens(Anatomy.of(family.model), family.image) as lens:
        with pytest.raises(WatchError, match="0 of 4"):
            lens.take()
        family.model(**family.inputs)
        lens.take()
        with pytest.raises(WatchError, match="complete forward pass"):
            lens.take()


def test_one_lens_at_a_time() -> None:
    """A second lens in one thread is refused, and the first goes on."""
    family = build("llava")
    anatomy = Anatomy.of(family.model)
    with Lens(anatomy, family.image) as lens:
        with pytest.raises(WatchError, match="Only one Lens"), Lens(anatomy, family.image):
            pass
        family.model(**family.inputs)
        lens.take()


def test_another_batch_is_refused() -> None:
    """Rows that are no multiple of the watched prompts are an error."""
    family = build("llava")
    with (
        Lens(Anatomy.of(family.model), family.image.repeat(2, 1)[:3]),
        pytest.raises(WatchError, match="multiple of the 3"),
    ):
        family.model(**family.inputs)
    family.model(**family.inputs)


def test_two_threads_on_one_model() -> None:
    """Two lenses on one model at once see what each alone sees."""
    family = build("llava")
    _, expected = looked_at(family)
    found: list[Tensor] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        with Lens(Anatomy.of(family.model), family.image) as lens:
            take = Taking(lens)
            barrier.wait()
            generate(family, logits_processor=[take])
            found.append(torch.stack(take.steps))
            barrier.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    for steps in found:
        torch.testing.assert_close(steps, expected, rtol=0, atol=1e-6)


def test_a_copied_model_is_an_ordinary_one() -> None:
    """A copy made under the lens runs and tells the lens nothing."""
    family = build("llava")
    with Lens(Anatomy.of(family.model), family.image) as lens:
        twin = copy.deepcopy(family.model)
        twin(**family.inputs)
        with pytest.raises(WatchError, match="0 of 4"):
            lens.take()


def test_the_model_is_left_as_found_after_an_error() -> None:
    """Whatever is raised inside the block, no hook stays and a new lens can be opened."""
    family = build("llava")
    plain = generate(family)
    with pytest.raises(ZeroDivisionError), Lens(Anatomy.of(family.model), family.image):
        raise ZeroDivisionError
    output, _ = looked_at(family)
    assert torch.equal(output.sequences, plain.sequences)


def test_evidence_has_it_only_when_asked(tiny: Any, pictures: Any) -> None:
    """``Monitor(lens=True)`` fills the evidence of every token, and no other monitor does."""
    texts = []
    for asked in (False, True):
        monitor = Monitor(*tiny, name="tiny", lens=asked, watch_layers="range")
        inputs = monitor.prepare(pictures[:2])
        events: list[Any] = []
        result = monitor.generate(**inputs, max_new_tokens=5, on_event=events.append)
        texts.append(result.texts)
        evidence: list[Any] = [event.evidence for event in events if isinstance(event, Token)]
        assert len(evidence) > 4
        for one in evidence:
            assert (one.confidence is not None) == asked
            assert (one.contributions is not None) == asked
            if asked:
                assert 0 < one.confidence <= 1
                assert one.contributions.shape == (len(one.layers),)
    assert texts[0] == texts[1]


def test_a_monitor_without_a_head_is_refused(tiny: Any) -> None:
    """The monitor says at once that the lens cannot work."""
    anatomy = replace(Anatomy.of(tiny[0]), final_norm=None)
    with pytest.raises(ModelError, match="final_norm="):
        Monitor(*tiny, anatomy=anatomy, lens=True)
