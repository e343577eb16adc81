"""Assisted decoding, watched: every accepted token has the row that predicted it, nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sightline.monitor.errors import InputError, NonFiniteError, OptionError, WatchError
from sightline.monitor.events import Token
from sightline.monitor.session import Monitor
from transformers import LlavaForConditionalGeneration, LogitsProcessor

from ..families import build
from ..teacher import Heard, check_evidence, same

Tiny = tuple[Any, Any]
Scripted = Callable[..., LogitsProcessor]


IMAGE = [3]
"""Kept from being written: an image token that no picture belongs to."""


def _assistant(model: Any, *, shared: bool) -> Any:
    """The model with its last layers left out: a cheap drafter that often agrees.

    With ``shared``, its layers are the model's own modules and not copies.
    """
    config = copy.deepcopy(model.config)
    config.text_config.num_hidden_layers = 4
    small = LlavaForConditionalGeneration(config).eval()
    if shared:
        small.model.vision_tower = model.model.vision_tower
        small.model.multi_modal_projector = model.model.multi_modal_projector
        inner, own = small.model.language_model, model.model.language_model
        inner.embed_tokens, inner.norm = own.embed_tokens, own.norm
        inner.layers = own.layers[:4]
        small.lm_head = model.lm_head
    else:
        small.load_state_dict(model.state_dict(), strict=False)
    small.generation_config = copy.deepcopy(model.generation_config)
    small.generation_config.update(num_assistant_tokens=4, num_assistant_tokens_schedule="constant")
    return small


OPTIONS: list[dict[str, Any]] = [
    {},
    {"do_sample": True, "temperature": 0.7},
    {"repetition_penalty": 1.3},
    {"assistant_confidence_threshold": 0.0},
    {"assistant_ensemble_weight": 0.5},
]


@pytest.mark.parametrize("shared", [False, True], ids=["copied", "shared"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options), "greedy"))
def test_an_assistant_drafts_and_only_what_is_accepted_is_seen(
    tiny: Tiny,
    monitor: Monitor,
    pictures: list[Image.Image],
    options: dict[str, Any],
    shared: bool,
) -> None:
    """Bitwise plain assisted decoding, also where the assistant runs through the watched layers;
    each token's evidence is that of a clean pass over the caption."""
    inputs = monitor.prepare(pictures[:1])
    assistant = _assistant(tiny[0], shared=shared)
    every: dict[str, Any] = {
        **options,
        "assistant_model": assistant,
        "suppress_tokens": IMAGE,
        "max_new_tokens": 16,
        "return_dict_in_generate": True,
        "output_scores": True,
        "output_logits": True,
    }
    lengths: list[int] = []
    hook = tiny[0].register_forward_hook(lambda _, __, out: lengths.append(out.logits.shape[1]))
    torch.manual_seed(5)
    plain = tiny[0].generate(**inputs, **every)
    hook.remove()
    assert max(lengths) > 1  # candidates were verified
    heard = Heard()
    torch.manual_seed(5)
    watched = monitor.generate(**inputs, **every, on_event=heard.append)
    same(plain, watched.output)
    count = plain.sequences.shape[1] - inputs["input_ids"].shape[1]
    assert len(heard.tokens(0)) == count
    assert check_evidence(monitor, inputs, plain.sequences, heard) == count
    assert watched.reports[0].finish in ("length", "eos")


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "gemma3", "internvl"])
def test_families_look_prompts_up(name: str, tiny: Tiny) -> None:
    """Sliding windows and several position axes: the same bits as plain, the right rows."""
    family: Any = build(name)
    inputs = {
        key: value[: len(value) // 2] for key, value in family.inputs.items()
    }  # one prompt: assisted decoding takes no batches
    monitor = Monitor(family.model, tiny[1])
    every: dict[str, Any] = {
        "prompt_lookup_num_tokens": 3,
        "max_matching_ngram_size": 1,
        "max_new_tokens": 14,
        "return_dict_in_generate": True,
        "output_logits": True,
    }
    lengths: list[int] = []
    hook = family.model.register_forward_hook(
        lambda _, __, out: lengths.append(out.logits.shape[1])
    )
    plain = family.model.generate(**inputs, **every)
    hook.remove()
    heard = Heard()
    watched = monitor.generate(**inputs, **every, on_event=heard.append)
    same(plain, watched.output, ("logits",))
    assert max(lengths[1:]) > 1
    assert check_evidence(monitor, inputs, plain.sequences, heard) == 14


def test_the_small_model_with_prompt_lookup_says_what_it_says_without() -> None:
    """The report of plain greedy decoding, verdicts included, from fewer passes."""
    monitor = Monitor.from_pretrained("small")
    inputs = monitor.prepare([Image.effect_noise((96, 96), 90).convert("RGB")])
    (greedy,) = monitor.generate(**inputs, max_new_tokens=48).reports
    (assisted,) = monitor.generate(**inputs, max_new_tokens=48, prompt_lookup_num_tokens=4).reports
    assert assisted.text == greedy.text
    assert assisted.mentions
    for one, other in zip(assisted.mentions, greedy.mentions, strict=True):
        assert (one.word, one.flagged) == (other.word, other.flagged)
        assert one.svar == pytest.approx(other.svar, abs=1e-5)
        assert one.probability == pytest.approx(other.probability, abs=1e-4)


def test_assisted_decoding_can_be_streamed(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """Tokens come in blocks, as events one by one; leaving early leaves the model as it was."""
    inputs = monitor.prepare(pictures[:1])
    options: dict[str, Any] = {
        "prompt_lookup_num_tokens": 3,
        "max_new_tokens": 12,
        "suppress_tokens": IMAGE,
    }
    plain = tiny[0].generate(**inputs, **options)
    with monitor.stream(**inputs, **options) as events:
        ids = [event.id for event in events if isinstance(event, Token)]
    assert ids == plain[0, inputs["input_ids"].shape[1] :].tolist()
    with monitor.stream(**inputs, **options) as events:
        next(iter(events))


def test_patches_are_those_of_the_accepted_tokens(tiny: Tiny, pictures: list[Image.Image]) -> None:
    """One map for each token of the latest passes, as ordinary decoding has them."""
    monitor = Monitor(*tiny, patches=64)
    inputs = monitor.prepare(pictures[:1])
    maps = []
    for lookup in (None, 3):
        options: dict[str, Any] = {
            "max_new_tokens": 12,
            "prompt_lookup_num_tokens": lookup,
            "suppress_tokens": IMAGE,
        }
        with monitor.watch(inputs, **options) as watch:
            tiny[0].generate(**watch.plug_into({**inputs, **options}))
        maps.append(torch.cat(watch.recent_patches))
    assert maps[0].shape[0] == len(watch.reports[0].tokens)
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-5)


# --- misuse and faults --------------------------------------------------------------------------


def test_what_cannot_be_assisted_is_refused(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """A lens, embeddings, a policy that acts: each with its reason."""
    inputs = monitor.prepare(pictures[:1])
    with pytest.raises(OptionError, match="lens looks at one row"):
        Monitor(*tiny, lens=True).generate(**inputs, prompt_lookup_num_tokens=3)
    embeds = torch.zeros(1, inputs["input_ids"].shape[1], 32)
    with pytest.raises(InputError, match="drafts what follows token ids"):
        monitor.generate(**inputs, inputs_embeds=embeds, prompt_lookup_num_tokens=3)
    small = Monitor.from_pretrained("small")
    with pytest.raises(OptionError, match="cannot be taken back"):
        small.generate(**inputs, prompt_lookup_num_tokens=3, policy="stop")


def test_a_batch_is_refused_as_generate_refuses_it(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """What transformers raises is raised, and the model is as it was."""
    inputs = monitor.prepare(pictures[:2])
    with pytest.raises(ValueError, match="batch_size = 1"):
        monitor.generate(**inputs, prompt_lookup_num_tokens=3)


def test_assistance_that_was_not_announced_is_refused(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """The error says how to announce it, before any event."""
    inputs = monitor.prepare(pictures[:1])
    with (
        monitor.watch(inputs, max_new_tokens=4) as watch,
        pytest.raises(WatchError, match="assisted decoding must be announced"),
    ):
        tiny[0].generate(
            **inputs,
            max_new_tokens=4,
            suppress_tokens=IMAGE,
            assistant_model=_assistant(tiny[0], shared=False),
            logits_processor=[watch.logits_processor],
            streamer=watch.streamer,
        )


def test_unusable_logits_of_rejected_candidates_do_not_matter(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """Those of an accepted token are an error with its place in the caption."""
    inputs = monitor.prepare(pictures[:1])
    passes = 0

    def spoil(module: object, args: object, output: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == 3:
            output.logits[:, :1] = torch.nan

    hook = tiny[0].register_forward_hook(spoil)
    try:
        with pytest.raises(NonFiniteError) as caught:
            monitor.generate(
                **inputs,
                prompt_lookup_num_tokens=2,
                max_new_tokens=12,
                eos_token_id=None,
                suppress_tokens=IMAGE,
            )
    finally:
        hook.remove()
    assert caught.value.row == 0
    assert caught.value.step >= 2
