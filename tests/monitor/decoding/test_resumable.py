"""A generation in pieces is the generation, whatever is taken back and decoded again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.attention.intervention import HeadGuided
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.decoding.forcing import Ban
from sightline.monitor.decoding.resumable import ResumableGeneration
from sightline.monitor.decoding.rollback import RollbackError
from sightline.monitor.decoding.step import Step
from sightline.monitor.models.anatomy import Anatomy
from sightline.monitor.models.small import small_model
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria, set_seed

from ..families import FAMILIES, build
from ..resuming import RECORDS, STEPS, at, every, finish, padded_prompts, same, same_cache


@pytest.fixture
def inputs(tiny: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    return padded_prompts(tiny[1], pictures)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, None) for name in FAMILIES]
    + [(name, "static") for name in ("llava", "gemma3", "aya_vision", "qwen2_5_vl", "idefics3")],
)
def test_every_family_and_cache_comes_out_the_same(name: str, kind: str | None) -> None:
    """Paused at every step, cut back again and again, also to the prompt: all bits are plain's."""
    family = build(name)
    options = {**RECORDS, "max_new_tokens": STEPS, "cache_implementation": kind}
    plain = family.model.generate(**family.inputs, **options)
    generation = ResumableGeneration(family.model, family.inputs, options)
    prompt = generation.prompt_length
    assert same(finish(generation, pause=every), plain)
    for length in (prompt + 9, prompt + 4, prompt + 6, prompt + 1):
        generation.rollback(length)
        generation.advance(at(length + 2))
    assert same(finish(generation), plain)
    output: Any = generation.output
    assert same_cache(output.past_key_values, plain.past_key_values)
    generation.rollback(prompt)
    assert same(finish(generation), plain)


@pytest.mark.parametrize("name", ["llava", "gemma3", "qwen2_vl", "paligemma"])
def test_a_single_row_without_padding_comes_out_the_same(name: str) -> None:
    """Without a mask models take other paths; the pieces take the same ones."""
    family = build(name)
    pixels = family.inputs["pixel_values"]
    inputs = {key: value[:1] for key, value in family.inputs.items()}
    inputs["pixel_values"] = pixels[: len(pixels) // 2]
    options = {**RECORDS, "max_new_tokens": STEPS}
    plain = family.model.generate(**inputs, **options)
    generation = ResumableGeneration(family.model, inputs, options)
    generation.advance(at(generation.prompt_length + 8))
    generation.rollback(generation.prompt_length + 3)
    assert same(finish(generation, pause=every), plain)


@pytest.mark.parametrize("name", ["qwen2_vl", "glm4v"])
def test_another_generation_in_between_does_no_harm(name: str) -> None:
    """Models that keep position offsets in themselves get them from us, not from the last call."""
    family = build(name)
    plain = family.model.generate(**family.inputs, max_new_tokens=STEPS)
    generation = ResumableGeneration(family.model, family.inputs, {"max_new_tokens": STEPS})
    while generation.advance(every) == "paused":
        family.model.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=2)
    assert torch.equal(generation.sequences, plain)


def test_cross_attention_to_the_image_is_left_whole() -> None:
    """Mllama's vision keys share its cache, and are no position of the text."""
    model, inputs = _mllama()
    options = {**RECORDS, "max_new_tokens": STEPS}
    plain = model.generate(**inputs, **options)
    generation = ResumableGeneration(model, inputs, options)
    for length in (8, 3, 5):
        generation.advance(at(generation.prompt_length + length))
        generation.rollback(generation.prompt_length + length - 2)
    assert same(finish(generation), plain)


def _mllama() -> tuple[Any, dict[str, Tensor]]:
    import transformers

    set_seed(3)
    config = transformers.MllamaConfig(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "image_size": 24,
            "patch_size": 6,
            "vision_output_dim": 32,
            "intermediate_layers_indices": [0],
            "max_num_tiles": 1,
            "supported_aspect_ratios": [[1, 1]],
        },
        text_config={
            "vocab_size": 120,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "cross_attention_layers": [1],
            "initializer_range": 0.2,
            "pad_token_id": 0,
        },
        image_token_index=110,
    )
    model: Any = transformers.MllamaForConditionalGeneration(config).eval()
    for name, weights in model.named_parameters():
        if "gate" in name:  # closed, the image would not be looked at
            weights.data.fill_(0.7)
    model.generation_config.update(pad_token_id=0, eos_token_id=None)
    model.generation_config.suppress_tokens = list(range(110, 120))
    ids = torch.randint(5, 100, (2, 9))
    ids[:, 1] = 110
    sees = torch.ones(2, 9, 1, 1, dtype=torch.long)
    sees[:, 0] = 0
    return model, {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "cross_attention_mask": sees,
        "pixel_values": torch.randn(2, 1, 1, 3, 24, 24),
        "aspect_ratio_ids": torch.ones(2, 1, dtype=torch.long),
        "aspect_ratio_mask": torch.ones(2, 1, 1, dtype=torch.long),
    }


@pytest.mark.parametrize("kind", [None, "static"])
@pytest.mark.parametrize("name", ["llava", "gemma3", "qwen2_5_vl", "mistral3"])
def test_the_other_rows_stay_what_they_are(name: str, kind: str | None) -> None:
    """One row is decoded again under Eq. 4; the other keeps its tokens, logits and cache."""
    family = build(name)
    model, inputs = family.model, family.inputs
    options = {**RECORDS, "max_new_tokens": STEPS, "cache_implementation": kind}
    plain = model.generate(**inputs, **options)
    generation = ResumableGeneration(model, inputs, options)
    prompt = generation.prompt_length
    guide = HeadGuided(0.0, range(4))
    anatomy = Anatomy.of(model)
    tap = AttentionTap(
        anatomy, family.image, prompt_mask=inputs["attention_mask"], intervention=guide
    )

    def strengthen(ids: Tensor) -> None:
        inside = prompt + 3 <= ids.shape[1] < prompt + 7
        guide.alpha = torch.tensor([3.0 if inside else 0.0, 0.0])

    with tap:
        generation.advance(at(prompt + 8))
        tail = generation.rollback(prompt + 3)
        force = tail.clone()
        force[0] = -1
        generation.advance(force=force, before_pass=strengthen)
    output: Any = generation.output
    assert not torch.equal(output.logits[4][0], plain.logits[4][0])
    assert torch.equal(output.sequences[1], plain.sequences[1])
    for records in ("logits", "scores"):
        for ours, theirs in zip(getattr(output, records), getattr(plain, records), strict=True):
            assert torch.equal(ours[1], theirs[1])
    for ours, theirs in zip(
        output.past_key_values.layers, plain.past_key_values.layers, strict=True
    ):
        width = min(ours.keys.shape[2], theirs.keys.shape[2])
        assert torch.equal(ours.keys[1, :, -width:], theirs.keys[1, :, -width:])
        assert torch.equal(ours.values[1, :, -width:], theirs.values[1, :, -width:])


@pytest.mark.parametrize("kind", [None, "static"])
@pytest.mark.parametrize("name", ["llava", "gemma3", "qwen2_5_vl"])
def test_a_tap_reads_the_same_after_a_rollback(name: str, kind: str | None) -> None:
    """One tap stays open around all segments; each position has the masses of a plain run."""
    family = build(name)
    anatomy = Anatomy.of(family.model)
    options = {"max_new_tokens": STEPS, "cache_implementation": kind}

    def read(run: Callable[[LogitsProcessor], Any]) -> dict[int, Tensor]:
        seen: dict[int, Tensor] = {}
        mask = family.inputs["attention_mask"]
        with AttentionTap(anatomy, family.image, prompt_mask=mask) as tap:

            class Take(LogitsProcessor):
                def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
                    seen[input_ids.shape[1]] = tap.take().masses
                    return scores

            run(Take())
        return seen

    def plain(take: LogitsProcessor) -> None:
        family.model.generate(**family.inputs, **options, logits_processor=[take])

    def pieces(take: LogitsProcessor) -> None:
        given = {**options, "logits_processor": [take]}
        generation = ResumableGeneration(family.model, family.inputs, given)
        for new in (8, 10, 6):
            generation.advance(at(generation.prompt_length + new))
            generation.rollback(generation.prompt_length + new - 4)
        generation.advance()

    expected, found = read(plain), read(pieces)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[length], expected[length]) for length in expected)


@pytest.mark.parametrize("kind", [None, "static"])
@pytest.mark.parametrize("name", ["llava", "gemma3", "qwen2_vl", "aya_vision"])
def test_reading_anew_makes_the_cache_clean(name: str, kind: str | None) -> None:
    """After a span under Eq. 4, one pass without it does what a replay does, up to rounding."""
    family = build(name)
    options = {**RECORDS, "max_new_tokens": STEPS, "cache_implementation": kind}
    guide = HeadGuided(3.0, range(4))
    anatomy = Anatomy.of(family.model)
    tap = AttentionTap(
        anatomy, family.image, prompt_mask=family.inputs["attention_mask"], intervention=guide
    )
    clean, replayed = (ResumableGeneration(family.model, family.inputs, options) for _ in range(2))
    prompt = clean.prompt_length
    with tap:
        for generation in (clean, replayed):
            guide.alpha = 0.0
            generation.advance(at(prompt + 3))
            guide.alpha = 3.0
            generation.advance(at(prompt + 9))
            guide.alpha = 0.0
            if generation is clean:
                generation.reread(prompt + 3)
                generation.advance()
                # A static window gives back what the long pass pushed out.
                generation.advance(force=generation.rollback(prompt + 7))
            else:
                generation.advance(force=generation.rollback(prompt + 3))
    ours: Any = clean.output
    theirs: Any = replayed.output
    assert torch.equal(ours.sequences, theirs.sequences)
    for one, other in zip(ours.logits[7:], theirs.logits[7:], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    for one, other in zip(ours.past_key_values.layers, theirs.past_key_values.layers, strict=True):
        width = min(one.keys.shape[2], other.keys.shape[2])
        torch.testing.assert_close(one.keys[:, :, -width:], other.keys[:, :, -width:])


def test_rows_are_read_anew_once(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """The pass after reread() covers the span; those that follow cover a token each."""
    widths: list[int] = []

    def note(module: Any, args: Any, kwargs: Any) -> None:
        widths.append(kwargs["input_ids"].shape[1])

    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 9, "eos_token_id": None})
    prompt = generation.prompt_length
    generation.advance(at(prompt + 5))
    generation.reread(prompt + 2)
    hook = tiny[0].register_forward_pre_hook(note, with_kwargs=True)
    try:
        generation.advance(at(prompt + 7))
        generation.advance()
    finally:
        hook.remove()
    assert widths == [4, 1, 1, 1]


def test_the_order_within_a_step_is_as_documented(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """before_pass, forward, user's processor, rules, pause; in every step of every segment."""
    calls: list[tuple[str, int]] = []

    class Note(LogitsProcessor):
        def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
            calls.append(("processor", input_ids.shape[1]))
            return scores

    class Rule(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
            calls.append(("rule", input_ids.shape[1]))
            return torch.zeros(len(input_ids), dtype=torch.bool)

    def note(module: Any, args: Any, kwargs: Any) -> None:
        calls.append(("forward", generation.length))

    def pause(step: Step) -> bool:
        calls.append(("pause", step.ids.shape[1]))
        assert torch.equal(step.tokens, step.ids[:, -1])
        return step.position == prompt + 1

    options: dict[str, Any] = {"max_new_tokens": 4, "eos_token_id": None}
    options |= {"logits_processor": [Note()], "stopping_criteria": [Rule()]}
    generation = ResumableGeneration(tiny[0], inputs, options)
    prompt = generation.prompt_length
    hook = tiny[0].register_forward_pre_hook(note, with_kwargs=True)
    try:
        for _ in range(2):
            generation.advance(pause, before_pass=lambda ids: calls.append(("before", len(ids[0]))))
    finally:
        hook.remove()
    expected = []
    for length in range(prompt, prompt + 4):
        expected += [("before", length), ("forward", length), ("processor", length)]
        expected += [("rule", length + 1), ("pause", length + 1)]
    assert calls == [*expected, ("before", prompt + 4)]


def test_lengths_and_tokens_must_fit(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """A rollback stays between the prompt and the present, what is forced in the limit."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 4, "eos_token_id": None})
    prompt = generation.prompt_length
    generation.advance(at(prompt + 2))
    for length in (prompt - 1, prompt + 3):
        with pytest.raises(ValueError, match=f"was: {length}"):
            generation.rollback(length)
    for length in (prompt, prompt + 3):
        with pytest.raises(ValueError, match=f"was: {length}"):
            generation.reread(length)
    for force in (torch.zeros(2, 1, dtype=torch.int64), torch.zeros(3, 1), torch.zeros(3).long()):
        with pytest.raises(ValueError, match="force must be int64"):
            generation.advance(force=force)
    with pytest.raises(ValueError, match="fit into the 2 tokens that are left"):
        generation.advance(force=torch.zeros(3, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="one of 3 rows"):
        generation.advance(bans=[Ban(3, frozenset({1}), 0, 99)])
    with pytest.raises(ValueError, match="at least one position"):
        Ban(0, frozenset({1}), 5, 5)
    with pytest.raises(ValueError, match="token ids of at least 0"):
        Ban(0, frozenset(), 0, 5)


def test_a_model_that_hands_generation_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another model decodes, its cache is not seen; the error says which to take."""
    family = build("llava")
    monkeypatch.setattr(family.model, "generate", build("llava").model.generate)
    generation = ResumableGeneration(family.model, family.inputs, {"max_new_tokens": 2})
    with pytest.raises(RollbackError, match="runs another one inside"):
        generation.advance()


def test_callbacks_may_not_move_what_calls_them(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """advance and rollback are for between the calls."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 4})
    with pytest.raises(RollbackError, match="advance"):
        generation.advance(lambda step: generation.advance() == "ended")
    with pytest.raises(RollbackError, match="rollback"):
        generation.advance(lambda step: bool(generation.rollback(step.position).numel()))


def test_real_captions_survive_being_decoded_in_pieces(pictures: Sequence[Image.Image]) -> None:
    """The shipped model's greedy captions, ended by its own end token, in a padded batch."""
    model, processor = small_model()
    image = pictures[0].resize((96, 96))
    batch = [processor.apply_chat_template(_ask(text), tokenize=False) for text in ("Hi.", "Tell.")]
    reader: Any = processor
    inputs = dict(reader(images=[image, image], text=batch, padding=True, return_tensors="pt"))
    options = {**RECORDS, "max_new_tokens": 96}
    anything: Any = model
    plain = anything.generate(**inputs, **options)
    generation = ResumableGeneration(model, inputs, options)
    generation.advance(at(generation.prompt_length + 20))
    for new in (15, 12, 6):
        generation.rollback(generation.prompt_length + new)
        generation.advance(at(generation.length + 8))
    assert same(finish(generation), plain)


def _ask(text: str) -> list[dict[str, Any]]:
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return [{"role": "user", "content": content}]
