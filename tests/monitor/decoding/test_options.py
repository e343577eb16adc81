"""Every option of generate is honoured as plain generate honours it, or refused with a reason."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.decoding.options import DecodingOptions
from sightline.monitor.errors import InputError, OptionError
from sightline.monitor.session import Monitor
from torch import Tensor
from transformers import (
    CompileConfig,
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    StoppingCriteria,
    WatermarkingConfig,
)

from ..teacher import same

Tiny = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Equal:
    """Tokens, scores and logits are bitwise those of plain generate, under these options."""

    options: dict[str, Any]
    rows: int = 2


@dataclass(frozen=True, slots=True)
class Refused:
    """Refused before decoding, in these words."""

    options: dict[str, Any]
    words: str


@dataclass(frozen=True, slots=True)
class NoOption:
    """Not something a user chooses a way of decoding with."""

    why: str = field(default="")


class _Halved(LogitsProcessor):
    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        return scores * 0.5


class _Late(StoppingCriteria):
    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
        return input_ids[:, -1] % 3 == 1


def _sampled(**options: Any) -> Equal:
    return Equal({"do_sample": True, **options})


def _looked_up(**options: Any) -> Equal:
    return Equal({"prompt_lookup_num_tokens": 3, "suppress_tokens": [3], **options}, rows=1)


def _searched(**options: Any) -> Equal:
    return Equal({"num_beams": 3, **options})


Entry = Equal | Refused | NoOption
FIELDS: dict[str, Entry] = {
    "_from_model_config": NoOption("where a config came from"),
    "assistant_confidence_threshold": _looked_up(assistant_confidence_threshold=0.5),
    "assistant_early_exit": Refused({"assistant_early_exit": 2}, "part of its own layers"),
    "assistant_ensemble_weight": Equal({"assistant_ensemble_weight": 0.5}),
    "assistant_lookbehind": _looked_up(assistant_lookbehind=4),
    "bad_words_ids": Equal({"bad_words_ids": [[5], [6, 7]]}),
    "begin_suppress_tokens": Equal({"begin_suppress_tokens": [5, 6]}),
    "bos_token_id": Equal({"bos_token_id": 1}),
    "cache_config": Equal({"cache_config": {"nbits": 4}}),
    "cache_implementation": Equal({"cache_implementation": "static"}),
    "compile_config": Equal({"compile_config": CompileConfig()}),
    "constraints": Refused({"constraints": [object()]}, "no part of transformers"),
    "continuous_batching_config": Refused({"continuous_batching_config": object()}, "reorders"),
    "decoder_start_token_id": Equal({"decoder_start_token_id": 1}),
    "disable_compile": Equal({"disable_compile": True}),
    "diversity_penalty": Refused({"diversity_penalty": 0.5}, "group beam search"),
    "do_sample": _sampled(),
    "dola_layers": Refused({"dola_layers": "high"}, "DoLa"),
    "early_stopping": _searched(early_stopping=True),
    "encoder_no_repeat_ngram_size": Equal({"encoder_no_repeat_ngram_size": 2}),
    "encoder_repetition_penalty": Equal({"encoder_repetition_penalty": 1.4}),
    "eos_token_id": Equal({"eos_token_id": list(range(2, 300, 7))}),
    "epsilon_cutoff": _sampled(epsilon_cutoff=0.001),
    "eta_cutoff": _sampled(eta_cutoff=0.001),
    "exponential_decay_length_penalty": Equal({"exponential_decay_length_penalty": (2, 1.5)}),
    "force_words_ids": Refused({"force_words_ids": [[5]]}, "no part of transformers"),
    "forced_bos_token_id": Equal({"forced_bos_token_id": 5}),
    "forced_eos_token_id": Equal({"forced_eos_token_id": 2}),
    "guidance_scale": Refused({"guidance_scale": 1.5}, "twice per token"),
    "is_assistant": Refused({"is_assistant": True}, "shown no picture"),
    "length_penalty": _searched(length_penalty=0.2),
    "low_memory": Equal({"low_memory": False}),
    "max_cache_len": Equal({"cache_implementation": "static", "max_cache_len": 96}),
    "max_length": Equal({"max_length": 40, "max_new_tokens": None}),
    "max_matching_ngram_size": _looked_up(max_matching_ngram_size=1),
    "max_new_tokens": Equal({"max_new_tokens": 1}),
    "max_time": Equal({"max_time": 600.0}),
    "min_length": Equal({"min_length": 60}),
    "min_new_tokens": Equal({"min_new_tokens": 4, "eos_token_id": list(range(2, 300, 7))}),
    "min_p": _sampled(min_p=0.01),
    "no_repeat_ngram_size": Equal({"no_repeat_ngram_size": 1}),
    "num_assistant_tokens": _looked_up(num_assistant_tokens=2),
    "num_assistant_tokens_schedule": _looked_up(num_assistant_tokens_schedule="heuristic"),
    "num_beam_groups": Refused({"num_beams": 4, "num_beam_groups": 2}, "group beam search"),
    "num_beams": _searched(num_return_sequences=2),
    "num_return_sequences": _sampled(num_return_sequences=3),
    "output_attentions": Equal({"output_attentions": True}),
    "output_hidden_states": Equal({"output_hidden_states": True}),
    "output_logits": Equal({"output_logits": False}),
    "output_scores": Equal({"output_scores": False}),
    "pad_token_id": Equal({"pad_token_id": 7, "eos_token_id": list(range(2, 300, 7))}),
    "penalty_alpha": Refused({"penalty_alpha": 0.6, "top_k": 4}, "contrastive"),
    "prefill_chunk_size": Refused({"prefill_chunk_size": 4}, "several passes"),
    "prompt_lookup_num_tokens": _looked_up(),
    "remove_invalid_values": Equal({"remove_invalid_values": True}),
    "renormalize_logits": Equal({"renormalize_logits": True}),
    "repetition_penalty": Equal({"repetition_penalty": 1.4}),
    "return_dict_in_generate": Equal(
        {"return_dict_in_generate": False, "output_scores": False, "output_logits": False}
    ),
    "sequence_bias": Equal({"sequence_bias": [[[5], 9.0], [[6, 7], 2.0]]}),
    "speculation_type": Refused({"speculation_type": "dflash"}, "hidden states"),
    "stop_strings": Equal({"stop_strings": ["e", "a"]}),
    "suppress_tokens": Equal({"suppress_tokens": [5, 6]}),
    "target_lookbehind": _looked_up(target_lookbehind=4),
    "temperature": _sampled(temperature=0.5),
    "token_healing": Refused({"token_healing": True}, "rewrites the prompt"),
    "top_h": _sampled(top_h=0.4),
    "top_k": _sampled(top_k=3),
    "top_p": _sampled(top_p=0.6),
    "transformers_version": NoOption("who wrote a config"),
    "typical_p": _sampled(typical_p=0.6),
    "use_cache": Equal({"use_cache": False}),
    "use_mtp": Refused({"use_mtp": True}, "multi-token prediction"),
    "watermarking_config": Equal({"watermarking_config": WatermarkingConfig()}),
}
ARGUMENTS: dict[str, Entry] = {
    "self": NoOption("the model"),
    "kwargs": NoOption("the fields above, and the model's own inputs"),
    "inputs": Refused({"inputs": torch.ones(1, 4, dtype=torch.int64)}, "input_ids"),
    "generation_config": Equal({"generation_config": GenerationConfig(max_new_tokens=5)}),
    "logits_processor": Equal({"logits_processor": [_Halved()]}),
    "stopping_criteria": Equal({"stopping_criteria": [_Late()]}),
    "prefix_allowed_tokens_fn": Equal(
        {"prefix_allowed_tokens_fn": lambda row, ids: [9 + row, 20, 30 + len(ids)]}
    ),
    "synced_gpus": Equal({"synced_gpus": False}),
    "assistant_model": NoOption("tests/monitor/test_assisted.py"),
    "streamer": NoOption("tests/monitor/test_adapters.py"),
    # Guidance is what they are for, and without its scale transformers ignores them.
    "negative_prompt_ids": Equal({"negative_prompt_ids": torch.tensor([[5, 6]] * 2)}),
    "negative_prompt_attention_mask": Equal(
        {"negative_prompt_attention_mask": torch.tensor([[1, 1]] * 2)}
    ),
    "custom_generate": Refused({"custom_generate": "some/repo"}, "decoding loop"),
}
TABLE = {**FIELDS, **ARGUMENTS}


def test_the_table_knows_every_option_of_the_installed_transformers() -> None:
    """A field or an argument that a new version brings must be looked at first."""
    assert set(vars(GenerationConfig())) == set(FIELDS)
    mixin: Any = GenerationMixin
    assert set(inspect.signature(mixin.generate).parameters) == set(ARGUMENTS)


@pytest.mark.parametrize("name", [n for n, entry in TABLE.items() if isinstance(entry, Equal)])
def test_an_option_means_what_it_means_to_plain_generate(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], name: str
) -> None:
    """Type, tokens, scores, logits and hidden states, bit for bit; one token each in the report."""
    entry = TABLE[name]
    assert isinstance(entry, Equal)
    prompts = ["What?", "Describe it in every detail."][: entry.rows]
    inputs = monitor.prepare(pictures[: entry.rows], prompts)
    shared: dict[str, Any] = {
        "max_new_tokens": 6,
        "return_dict_in_generate": True,
        "output_scores": True,
        "output_logits": True,
        **entry.options,
    }
    if name == "generation_config":
        shared = {**entry.options, "pad_token_id": 0}
    own = {"tokenizer": monitor.tokenizer} if "stop_strings" in shared else {}
    torch.manual_seed(4)
    plain = tiny[0].generate(**inputs, **shared, **own)
    torch.manual_seed(4)
    watched = monitor.generate(**inputs, **shared)
    same(plain, watched.output)
    if getattr(plain, "hidden_states", None) is not None:
        pairs = zip(plain.hidden_states, watched.output.hidden_states, strict=True)
        assert all(torch.equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True))
    prompt = inputs["input_ids"].shape[1]
    for ids, report in zip(watched.sequences[:, prompt:].tolist(), watched.reports, strict=True):
        told = [token.id for token in report.tokens]
        assert told == ids[: len(told)]
        assert told
        assert all(token.svar is not None and token.svar > 0 for token in report.tokens)
        assert report.finish in ("eos", "length", "stopped")


@pytest.mark.parametrize("name", [n for n, entry in TABLE.items() if isinstance(entry, Refused)])
def test_an_option_that_cannot_be_watched_is_refused_before_decoding(
    monitor: Monitor, pictures: list[Image.Image], name: str
) -> None:
    """The error says why, and no forward pass has happened."""
    entry = TABLE[name]
    assert isinstance(entry, Refused)
    inputs = dict(monitor.prepare(pictures[:1]))
    if name == "inputs":
        del inputs["input_ids"]
    passes: list[object] = []
    hook = monitor.model.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        with pytest.raises((OptionError, InputError), match=entry.words):
            monitor.generate(**inputs, **entry.options)
    finally:
        hook.remove()
    assert not passes


def test_attention_maps_come_with_eager_attention(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """output_attentions gives the model's own maps while it is watched: under eager attention the
    same bits, under sdpa the same nothing."""
    inputs = monitor.prepare(pictures[:2], ["What?", "Describe it in every detail."])
    shared: dict[str, Any] = {
        "max_new_tokens": 4,
        "eos_token_id": None,
        "return_dict_in_generate": True,
        "output_attentions": True,
    }
    model = tiny[0]
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        try:
            plain = model.generate(**inputs, **shared)
            watched = monitor.generate(**inputs, **shared)
        finally:
            model.set_attn_implementation("sdpa")
        same(plain, watched.output)
        for one, two in zip(plain.attentions, watched.output.attentions, strict=True):
            assert len(one) == len(two)
            for a, b in zip(one, two, strict=True):
                assert b is None if a is None else torch.equal(a, b)
        maps = plain.attentions[0]
        assert (implementation == "eager") == (len(maps) == 6 and isinstance(maps[0], Tensor))


def test_time_may_run_out(tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]) -> None:
    """A caption that max_time ends is stopped, not cut by its length."""
    inputs = monitor.prepare(pictures[:1])
    watched = monitor.generate(**inputs, max_new_tokens=200, max_time=1e-9, eos_token_id=None)
    (report,) = watched.reports
    assert (len(report.tokens), report.finish) == (1, "stopped")


def test_generating_in_step_with_other_processes(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], tmp_path: Any
) -> None:
    """synced_gpus, in a group of one process: the same bits."""
    inputs = monitor.prepare(pictures[:2])
    group = torch.distributed
    if not group.is_available() or group.is_initialized():
        pytest.skip("needs torch.distributed, and no group that is there already")
    store = f"file://{tmp_path / 'group'}"
    group.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        shared: dict[str, Any] = {"max_new_tokens": 5, "synced_gpus": True}
        plain = tiny[0].generate(**inputs, **shared)
        watched = monitor.generate(**inputs, **shared)
    finally:
        group.destroy_process_group()
    assert torch.equal(plain, watched.sequences)


def test_modes_are_told_apart(tiny: Tiny) -> None:
    """By the call's options, else the config's; a caller that knows one mode refuses the others."""
    model = tiny[0]
    observed: Any = {"prompt_length": 4, "modes": {"sample", "assisted", "beams"}}
    assert DecodingOptions.of(model, {"top_k": 3}, **observed).mode == "sample"
    config = GenerationConfig(num_beams=3)
    search = DecodingOptions.of(model, {"generation_config": config}, **observed)
    assert (search.mode, search.beams, search.returns_dict) == ("beams", 3, False)
    lookup = DecodingOptions.of(model, {"prompt_lookup_num_tokens": 2}, **observed)
    assert (lookup.mode, lookup.beams) == ("assisted", 1)
    with pytest.raises(OptionError, match=r"num_beams=3\) cannot be watched here"):
        DecodingOptions.of(model, {"generation_config": config}, prompt_length=4)
