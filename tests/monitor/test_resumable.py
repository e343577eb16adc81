"""A generation in pieces is the generation, whatever is taken back and decoded again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.anatomy import Anatomy
from sightline.monitor.attention import AttentionTap
from sightline.monitor.errors import InputError, OptionError
from sightline.monitor.forcing import Ban, DeadEndError
from sightline.monitor.intervention import HeadGuided
from sightline.monitor.resumable import ResumableGeneration, Step
from sightline.monitor.rollback import RollbackError
from sightline.monitor.small import small_model
from torch import Tensor
from transformers import (
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessor,
    MaxLengthCriteria,
    StoppingCriteria,
    WatermarkingConfig,
    set_seed,
)

from .families import FAMILIES, build

RECORDS: dict[str, Any] = {
    "return_dict_in_generate": True,
    "output_scores": True,
    "output_logits": True,
}
STEPS = 12


def _every(step: Step) -> bool:
    return True


def _at(length: int) -> Callable[[Step], bool]:
    return lambda step: step.ids.shape[1] == length


def _same(one: Any, other: Any) -> bool:
    """Whether tokens, raw logits and scores are equal, bit for bit."""
    return torch.equal(one.sequences, other.sequences) and all(
        torch.equal(a, b)
        for name in ("logits", "scores")
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True)
    )


def _same_cache(one: Any, other: Any) -> bool:
    """Whether all that attention can still see is equal, bit for bit."""
    for a, b in zip(one.layers, other.layers, strict=True):
        window = min(a.keys.shape[2], b.keys.shape[2])  # ours keeps what left the window
        if not torch.equal(a.keys[:, :, -window:], b.keys[:, :, -window:]):
            return False
        if not torch.equal(a.values[:, :, -window:], b.values[:, :, -window:]):
            return False
    return True


def _finish(generation: ResumableGeneration, **options: Any) -> Any:
    while generation.advance(**options) == "paused":
        pass
    return generation.output


# --- families and caches ------------------------------------------------------------------------


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
    assert _same(_finish(generation, pause=_every), plain)
    for length in (prompt + 9, prompt + 4, prompt + 6, prompt + 1):
        generation.rollback(length)
        generation.advance(_at(length + 2))
    assert _same(_finish(generation), plain)
    output: Any = generation.output
    assert _same_cache(output.past_key_values, plain.past_key_values)
    generation.rollback(prompt)
    assert _same(_finish(generation), plain)


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
    generation.advance(_at(generation.prompt_length + 8))
    generation.rollback(generation.prompt_length + 3)
    assert _same(_finish(generation, pause=_every), plain)


@pytest.mark.parametrize("name", ["qwen2_vl", "glm4v"])
def test_another_generation_in_between_does_no_harm(name: str) -> None:
    """Models that keep position offsets in themselves get them from us, not from the last call."""
    family = build(name)
    plain = family.model.generate(**family.inputs, max_new_tokens=STEPS)
    generation = ResumableGeneration(family.model, family.inputs, {"max_new_tokens": STEPS})
    while generation.advance(_every) == "paused":
        family.model.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=2)
    assert torch.equal(generation.sequences, plain)


def test_cross_attention_to_the_image_is_left_whole() -> None:
    """Mllama's vision keys share its cache, and are no position of the text."""
    model, inputs = _mllama()
    options = {**RECORDS, "max_new_tokens": STEPS}
    plain = model.generate(**inputs, **options)
    generation = ResumableGeneration(model, inputs, options)
    for length in (8, 3, 5):
        generation.advance(_at(generation.prompt_length + length))
        generation.rollback(generation.prompt_length + length - 2)
    assert _same(_finish(generation), plain)


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


# --- options ------------------------------------------------------------------------------------


@pytest.fixture
def inputs(tiny: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    words = ("a dog", "a woman rides a bicycle past the bus", "the cat")
    batch: dict[str, Tensor] = dict(
        tiny[1](
            images=list(pictures),
            text=[f"USER: <image>\n{text} ASSISTANT:" for text in words],
            padding=True,
            return_tensors="pt",
        )
    )
    assert int(batch["attention_mask"].sum()) < batch["attention_mask"].numel()
    return batch


@pytest.fixture
def ends(tiny: Any, inputs: dict[str, Tensor]) -> list[int]:
    """Tokens that end the rows at different lengths when they end captions."""
    plain = tiny[0].generate(**inputs, max_new_tokens=STEPS, eos_token_id=None)
    written = plain[:, inputs["input_ids"].shape[1] :]
    return [int(written[0, 3]), int(written[1, 6])]


class _NoEven(LogitsProcessor):
    """A processor of the user's that depends on all that was written."""

    def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, int(input_ids.sum()) % 7 :: 7] -= 3.0
        return scores


class _Stop(StoppingCriteria):
    """A rule of the user's: a row ends with any of some tokens."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = torch.tensor(tokens)

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        return torch.isin(input_ids[:, -1], self.tokens)


OPTIONS: dict[str, dict[str, Any]] = {
    "penalty": {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2},
    "min_new_tokens": {"min_new_tokens": 7},
    "min_length": {"min_length": 40},
    "max_length": {"max_new_tokens": None, "max_length": 44},
    "default length": {"max_new_tokens": None},
    "first token": {"begin_suppress_tokens": list(range(100, 400))},
    "decay": {"exponential_decay_length_penalty": (3, 2.5)},
    "forced end": {"forced_eos_token_id": 9},
    "bad words": {"bad_words_ids": [[7, 8], [20]], "sequence_bias": [[[30], 4.0]]},
    "prefix": {"prefix_allowed_tokens_fn": lambda row, ids: list(range(int(ids[-1]) % 5, 400, 3))},
    "processor": {"logits_processor": [_NoEven()]},
    "own length": {"stopping_criteria": [MaxLengthCriteria(41)]},
    "own end": {"stopping_criteria": [EosTokenCriteria([11, 12])]},
    "time": {"max_time": 1000.0},
    "pad is end": {"pad_token_id": None},
    "renormalized": {"renormalize_logits": True},
    "object": {"generation_config": GenerationConfig(max_new_tokens=9, repetition_penalty=1.3)},
}


@pytest.mark.filterwarnings("ignore:Unfeasible length", "ignore:Using the model-agnostic default")
@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_options_keep_their_meaning(
    tiny: Any, inputs: dict[str, Tensor], ends: list[int], name: str, sampled: bool
) -> None:
    """What counts from the prompt, or from the first token, still does after a pause."""
    model = tiny[0]
    options = {"max_new_tokens": STEPS, "eos_token_id": ends, "pad_token_id": 0} | OPTIONS[name]
    options |= {"do_sample": sampled, "top_k": 30, "temperature": 0.9} if sampled else {}
    if "generation_config" in options:
        options = {"generation_config": options["generation_config"]}
    set_seed(5)
    plain = model.generate(**inputs, **options)
    set_seed(5)
    generation = ResumableGeneration(model, inputs, options)
    _finish(generation, pause=_every)
    assert torch.equal(generation.sequences, plain)
    for new in (1, 4, 2, 0):
        length = min(generation.prompt_length + new, generation.length)
        generation.rollback(length)
        generation.advance(_at(length + 2))
    _finish(generation)
    assert torch.equal(generation.sequences, plain)


@pytest.mark.parametrize("sampled", [False, True])
def test_scores_and_logits_are_those_of_a_plain_call(
    tiny: Any, inputs: dict[str, Tensor], ends: list[int], sampled: bool
) -> None:
    """Rows that ended included, as far as they are looked at; and hidden states by step."""
    model = tiny[0]
    options = {**RECORDS, "max_new_tokens": STEPS, "eos_token_id": ends, "pad_token_id": 0}
    options |= {"do_sample": sampled, "output_hidden_states": True}
    set_seed(8)
    plain = model.generate(**inputs, **options)
    set_seed(8)
    generation = ResumableGeneration(model, inputs, options)
    output = _finish(generation, pause=_every)
    assert torch.equal(output.sequences, plain.sequences)
    assert all(torch.equal(a, b) for a, b in zip(output.logits, plain.logits, strict=True))
    ended = torch.zeros(3, dtype=torch.bool)
    for index, (ours, theirs) in enumerate(zip(output.scores, plain.scores, strict=True)):
        assert torch.equal(ours[~ended], theirs[~ended])
        if not sampled:
            assert torch.equal(ours, theirs)
        ended |= torch.isin(
            plain.sequences[:, generation.prompt_length + index], torch.tensor(ends)
        )
    for ours, theirs in zip(output.hidden_states, plain.hidden_states, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_plain_result_is_a_tensor(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """As with generate, without return_dict_in_generate the ids are all there is."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 3})
    assert generation.advance() == "ended"
    output = generation.output
    assert isinstance(output, Tensor)
    assert torch.equal(output, tiny[0].generate(**inputs, max_new_tokens=3))


def test_prompts_without_a_mask_are_masked_as_generate_does(
    tiny: Any, inputs: dict[str, Tensor], ends: list[int]
) -> None:
    """Padding is found by its id in the prompt, and pads of ended rows are not taken for it."""
    bare = {name: value for name, value in inputs.items() if name != "attention_mask"}
    options = {**RECORDS, "max_new_tokens": STEPS, "eos_token_id": ends, "pad_token_id": 0}
    plain = tiny[0].generate(**bare, **options)
    assert (plain.sequences[:, inputs["input_ids"].shape[1] :] == 0).any()
    assert _same(_finish(ResumableGeneration(tiny[0], bare, options), pause=_every), plain)


def test_several_captions_per_prompt(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """num_return_sequences multiplies the rows once, not at every call."""
    options = {"max_new_tokens": STEPS, "do_sample": True, "num_return_sequences": 2}
    set_seed(4)
    plain = tiny[0].generate(**inputs, **options)
    set_seed(4)
    generation = ResumableGeneration(tiny[0], inputs, options)
    generation.advance(_at(generation.prompt_length + 6))
    generation.rollback(generation.prompt_length + 2)
    _finish(generation, pause=_every)
    assert generation.sequences.shape == plain.shape == (6, plain.shape[1])
    assert torch.equal(generation.sequences, plain)


# --- ends ---------------------------------------------------------------------------------------


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
    _finish(generation, pause=_every)
    assert torch.equal(generation.sequences, plain)
    generation.rollback(prompt + 3)
    assert not generation.ended.any()
    force = torch.full((3, 2), -1)
    force[0] = written[1, prompt + 4 : prompt + 6]
    generation.advance(_at(prompt + 6), force=force)
    assert generation.ended[0]
    _finish(generation)
    assert generation.sequences[0, prompt + 5 :].eq(0).all()


def test_an_end_token_in_a_span_decoded_again_ends_the_row(
    tiny: Any, inputs: dict[str, Tensor], ends: list[int]
) -> None:
    """The row is filled from there; rows that had ended later live again, and end as they did."""
    options = {"max_new_tokens": STEPS, "eos_token_id": ends, "pad_token_id": 0}
    generation = ResumableGeneration(tiny[0], inputs, options)
    _finish(generation)
    prompt = generation.prompt_length
    before = generation.sequences.clone()
    ended = generation.ended.clone()
    tail = generation.rollback(prompt + 2)
    assert not generation.ended.any()
    force = tail.clone()
    force[2] = -1
    force[2, 0] = ends[0]
    _finish(generation, force=force)
    width = generation.length
    assert torch.equal(generation.sequences[:2], before[:2, :width])
    assert generation.sequences[2, prompt + 2] == ends[0]
    assert generation.sequences[2, prompt + 3 :].eq(0).all()
    assert ended.all()


def test_the_length_limit_counts_from_the_prompt(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """However often it is taken back, a generation ends at max_new_tokens, and stays ended."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 6, "eos_token_id": None})
    for _ in range(3):
        assert generation.advance() == "ended"
        assert generation.length == generation.prompt_length + 6
        assert generation.advance(_every) == "ended"
        generation.rollback(generation.prompt_length + 4)


def test_the_time_limit_is_that_of_the_whole(
    tiny: Any, inputs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """max_time runs from the beginning: a pause does not start it anew."""
    now = [1000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    options = {"max_new_tokens": STEPS, "max_time": 10.0, "eos_token_id": None}
    generation = ResumableGeneration(tiny[0], inputs, options)
    assert generation.advance(_at(generation.prompt_length + 2)) == "paused"
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
    _finish(ResumableGeneration(tiny[0], inputs, options), pause=_every)
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
        _finish(generation, pause=_every)
        assert torch.equal(generation.sequences, plain)


# --- rows ---------------------------------------------------------------------------------------


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
        generation.advance(_at(prompt + 8))
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
            generation.advance(_at(generation.prompt_length + new))
            generation.rollback(generation.prompt_length + new - 4)
        generation.advance()

    expected, found = read(plain), read(pieces)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[length], expected[length]) for length in expected)


def test_the_original_can_be_put_back(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """After a try that failed, forcing what was cut off restores every bit of it."""
    options = {**RECORDS, "max_new_tokens": STEPS, "eos_token_id": None}
    plain = tiny[0].generate(**inputs, **options)
    generation = ResumableGeneration(tiny[0], inputs, options)
    prompt = generation.prompt_length
    generation.advance(_at(prompt + 8))
    tail = generation.rollback(prompt + 3)
    taken = frozenset(tail[0].tolist())
    generation.advance(_at(prompt + 8), bans=[Ban(0, taken, prompt + 3, prompt + 8)])
    assert not taken & set(generation.sequences[0, prompt + 3 :].tolist())
    generation.rollback(prompt + 3)
    generation.advance(force=tail)
    assert _same(generation.output, plain)


def test_what_is_forced_outlasts_a_pause(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """A pause in the middle of a replay leaves the rest of it in force, a rollback hands it out."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 9, "eos_token_id": None})
    prompt = generation.prompt_length
    force = torch.tensor([[7, 8, 9, 10, 11, 12], [-1] * 6, [20, 21, 22, 23, 24, 25]])
    generation.advance(_at(prompt + 2), force=force)
    generation.advance(_at(prompt + 4))
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
            generation.advance(_at(prompt + 3))
            guide.alpha = 3.0
            generation.advance(_at(prompt + 9))
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


def test_a_fault_while_reading_anew_is_made_up_for(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """The pass that broke is taken again, from as far back, whether or not more is taken back."""
    options = {"max_new_tokens": STEPS, "eos_token_id": None}
    plain = tiny[0].generate(**inputs, **options)
    for back in (0, 1, 5):
        generation = ResumableGeneration(tiny[0], inputs, options)
        prompt = generation.prompt_length
        generation.advance(_at(prompt + 8))
        generation.reread(prompt + 5)
        fault = _Fault(RuntimeError("out of memory"), at=prompt + 8)
        layer = tiny[0].model.language_model.layers[3]
        hook = layer.register_forward_pre_hook(lambda *_, fault=fault: fault.strike(fault.at))
        with pytest.raises(RuntimeError, match="out of memory"):
            generation.advance()
        hook.remove()
        generation.rollback(prompt + 8 - back)
        generation.advance()
        assert torch.equal(generation.sequences, plain)


# --- sampling -----------------------------------------------------------------------------------


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
    generation.advance(
        _at(generation.prompt_length + 9), before_pass=lambda ids: set_seed(len(ids))
    )
    for new in (8, 3, 0, 5):
        generation.rollback(min(generation.prompt_length + new, generation.length))
        torch.rand(1)
        generation.advance(_at(generation.length + 3))
    _finish(generation, pause=draw)
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


# --- callbacks and faults -----------------------------------------------------------------------


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

    _finish(generation, pause=check)


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
    fault = _Fault(error, at=inputs["input_ids"].shape[1] + 3 + 3 * segment)
    options: dict[str, Any] = {"max_new_tokens": STEPS, "cache_implementation": kind}
    options["eos_token_id"] = None
    plain = model.generate(**inputs, **options)
    if where == "processor":
        options["logits_processor"] = [fault]
    generation = ResumableGeneration(model, inputs, options)
    if segment:
        generation.advance(_at(generation.prompt_length + 5))
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


class _Fault(LogitsProcessor):
    """Breaks once, when sequences have a length."""

    def __init__(self, error: BaseException, *, at: int) -> None:
        self.error, self.at, self.armed = error, at, True

    def strike(self, length: int) -> None:
        """Nothing, or the fault."""
        if self.armed and length == self.at:
            self.armed = False
            raise self.error

    def check(self, length: int) -> bool:
        """False, or the fault."""
        self.strike(length)
        return False

    def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
        self.strike(input_ids.shape[1])
        return scores


def test_a_fault_while_the_prompt_is_read_starts_over(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """Nothing was decoded, so the next call begins at the beginning."""
    fault = _Fault(RuntimeError("out of memory"), at=inputs["input_ids"].shape[1])
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 4})
    layer = tiny[0].model.language_model.layers[2]
    hook = layer.register_forward_pre_hook(lambda *_: fault.strike(generation.length))
    with pytest.raises(RuntimeError, match="out of memory"):
        generation.advance()
    hook.remove()
    generation.advance()
    assert torch.equal(generation.sequences, tiny[0].generate(**inputs, max_new_tokens=4))


def test_records_lost_in_a_fault_must_be_decoded_again(
    tiny: Any, inputs: dict[str, Tensor]
) -> None:
    """Scores die with the call that broke; the error names the length to go back to."""
    options = {**RECORDS, "max_new_tokens": 8, "eos_token_id": None}
    plain = tiny[0].generate(**inputs, **options)
    generation = ResumableGeneration(tiny[0], inputs, options)
    prompt = generation.prompt_length
    generation.advance(_at(prompt + 2))
    fault = _Fault(RuntimeError("lost"), at=prompt + 5)
    with pytest.raises(RuntimeError, match="lost"):
        generation.advance(lambda step: fault.check(step.ids.shape[1]))
    assert torch.equal(generation.sequences, plain.sequences[:, : prompt + 5])
    with pytest.raises(RollbackError, match=rf"rollback\({prompt + 2}\) first"):
        generation.advance()
    generation.rollback(prompt + 2)
    generation.advance()
    assert _same(generation.output, plain)


# --- misuse -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_beams": 2}, "beam search"),
        ({"prompt_lookup_num_tokens": 2}, "prompt-lookup"),
        ({"penalty_alpha": 0.5, "top_k": 4}, "contrastive"),
        ({"cache_implementation": "quantized"}, "only dynamic and static"),
        ({"use_cache": False}, "use_cache"),
        ({"streamer": object()}, "streamer must be left out"),
        ({"past_key_values": object()}, "makes its own cache"),
        ({"encoder_repetition_penalty": 1.2}, "encoder_repetition_penalty"),
        ({"encoder_no_repeat_ngram_size": 2}, "encoder_no_repeat_ngram_size"),
        ({"stop_strings": ["dog"]}, "none was given"),
    ],
)
def test_what_cannot_be_resumed_is_refused_before_decoding(
    tiny: Any, inputs: dict[str, Tensor], options: dict[str, Any], match: str
) -> None:
    """The error names the option and what to do."""
    with pytest.raises(OptionError, match=match):
        ResumableGeneration(tiny[0], inputs, options)


def test_embeddings_are_no_prompt(tiny: Any) -> None:
    """Without ids nothing could be cut back to."""
    with pytest.raises(InputError, match="input_ids"):
        ResumableGeneration(tiny[0], {"inputs_embeds": torch.zeros(1, 2, 32)}, {})


def test_lengths_and_tokens_must_fit(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """A rollback stays between the prompt and the present, what is forced in the limit."""
    generation = ResumableGeneration(tiny[0], inputs, {"max_new_tokens": 4, "eos_token_id": None})
    prompt = generation.prompt_length
    generation.advance(_at(prompt + 2))
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


# --- a model that describes what it sees --------------------------------------------------------


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
    generation.advance(_at(generation.prompt_length + 20))
    for new in (15, 12, 6):
        generation.rollback(generation.prompt_length + new)
        generation.advance(_at(generation.length + 8))
    assert _same(_finish(generation), plain)


def _ask(text: str) -> list[dict[str, Any]]:
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return [{"role": "user", "content": content}]
