"""Every option of generate keeps its meaning over all the calls of one generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.decoding.continuation import Continuation
from sightline.monitor.decoding.options import DecodingOptions
from sightline.monitor.decoding.resumable import ResumableGeneration
from sightline.monitor.errors import InputError, OptionError
from torch import Tensor
from transformers import (
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessor,
    MaxLengthCriteria,
    set_seed,
)

from ..resuming import RECORDS, STEPS, at, end_tokens, every, finish, padded_prompts, same


@pytest.fixture
def inputs(tiny: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    return padded_prompts(tiny[1], pictures)


@pytest.fixture
def ends(tiny: Any, inputs: dict[str, Tensor]) -> list[int]:
    """Tokens that end the rows at different lengths when they end captions."""
    return end_tokens(tiny[0], inputs)


class _NoEven(LogitsProcessor):
    """A processor of the user's that depends on all that was written."""

    def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, int(input_ids.sum()) % 7 :: 7] -= 3.0
        return scores


OPTIONS: dict[str, dict[str, Any]] = {
    "penalty": {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2},
    "min_new_tokens": {"min_new_tokens": 2},
    "more new tokens": {"min_new_tokens": 7},
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
    finish(generation, pause=every)
    assert torch.equal(generation.sequences, plain)
    for new in (1, 4, 2, 0):
        length = min(generation.prompt_length + new, generation.length)
        generation.rollback(length)
        generation.advance(at(length + 2))
    finish(generation)
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
    output = finish(generation, pause=every)
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
    assert same(finish(ResumableGeneration(tiny[0], bare, options), pause=every), plain)


def test_several_captions_per_prompt(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """num_return_sequences multiplies the rows once, not at every call."""
    options = {"max_new_tokens": STEPS, "do_sample": True, "num_return_sequences": 2}
    set_seed(4)
    plain = tiny[0].generate(**inputs, **options)
    set_seed(4)
    generation = ResumableGeneration(tiny[0], inputs, options)
    generation.advance(at(generation.prompt_length + 6))
    generation.rollback(generation.prompt_length + 2)
    finish(generation, pause=every)
    assert generation.sequences.shape == plain.shape == (6, plain.shape[1])
    assert torch.equal(generation.sequences, plain)


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


def test_options_that_were_read_are_not_read_again(tiny: Any, inputs: dict[str, Tensor]) -> None:
    """Reading them takes time before the first token, and the caller may have done so."""
    options = {"max_new_tokens": 4, "num_return_sequences": 2, "do_sample": True}
    known = DecodingOptions.of(tiny[0], options, prompt_length=inputs["input_ids"].shape[1])
    given = Continuation(tiny[0], inputs, options, known=known)
    assert given.known is known
    assert given.known == Continuation(tiny[0], inputs, options).known
    assert len(given.prompt) == 2 * len(inputs["input_ids"])


def test_embeddings_are_no_prompt(tiny: Any) -> None:
    """Without ids nothing could be cut back to."""
    with pytest.raises(InputError, match="input_ids"):
        ResumableGeneration(tiny[0], {"inputs_embeds": torch.zeros(1, 2, 32)}, {})
