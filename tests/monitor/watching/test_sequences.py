"""Prompts in all shapes: several images, a second turn on the same cache, embeddings, copies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.errors import InputError, OptionError
from sightline.monitor.session import Monitor
from sightline.monitor.watching.recording import Recorder
from torch import Tensor
from transformers import DynamicCache

from ..families import build
from ..teacher import Heard, check_evidence, same

Tiny = tuple[Any, Any]
DICT: dict[str, Any] = {
    "return_dict_in_generate": True,
    "output_scores": True,
    "output_logits": True,
}


@pytest.mark.parametrize(
    "options",
    [{}, {"do_sample": True, "num_return_sequences": 3}, {"num_beams": 3}],
    ids=["greedy", "sampled", "beams"],
)
def test_prompts_of_a_batch_may_differ_in_images_and_length(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], options: dict[str, Any]
) -> None:
    """One, three and two images, left-padded: the same bits, and every report has its own images,
    padding and evidence."""
    images = [pictures[:1], pictures, pictures[1:]]
    prompts = ["What?", "Compare these three in every detail.", "Which one?"]
    inputs = monitor.prepare(images, prompts)
    assert inputs["attention_mask"].min() == 0
    shared: dict[str, Any] = {**DICT, **options, "max_new_tokens": 6, "suppress_tokens": [2, 3]}
    torch.manual_seed(6)
    plain = tiny[0].generate(**inputs, **shared)
    heard = Heard()
    torch.manual_seed(6)
    watched = monitor.generate(**inputs, **shared, on_event=heard.append)
    same(plain, watched.output)
    copies = options.get("num_return_sequences", 1)
    # Pictures of one prompt are flattened over the batch, so a copy of a prompt needs its own.
    compared = check_evidence(monitor, inputs, plain.sequences, heard, copies)
    assert compared == 6 * 3 * copies
    for row, report in enumerate(watched.reports):
        prompt = row // copies
        assert report.image_tokens == 4 * len(images[prompt])
        assert report.prompt.count("<image>") == len(images[prompt])
        assert prompts[prompt] in report.prompt
        assert "<pad>" not in report.prompt


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "gemma3", "internvl"])
def test_samples_of_families_have_their_own_evidence(name: str, tiny: Tiny) -> None:
    """Several samples of each of two prompts, one of them padded: bits and rows."""
    family: Any = build(name)
    monitor = Monitor(family.model, tiny[1])
    shared = {**DICT, "do_sample": True, "num_return_sequences": 2, "max_new_tokens": 5}
    torch.manual_seed(8)
    plain = family.model.generate(**family.inputs, **shared)
    heard = Heard()
    torch.manual_seed(8)
    watched = monitor.generate(**family.inputs, **shared, on_event=heard.append)
    same(plain, watched.output)
    assert check_evidence(monitor, family.inputs, plain.sequences, heard, 2) > 8


# --- a second turn ------------------------------------------------------------------------------


def _second_turn(monitor: Monitor, pictures: list[Image.Image]) -> tuple[Tensor, DynamicCache, Any]:
    """The whole conversation so far as ids, its cache, and the first turn's inputs."""
    inputs = monitor.prepare(pictures[:1])
    model: Any = monitor.model
    first = model.generate(**inputs, max_new_tokens=6, suppress_tokens=[2, 3], **DICT)
    question = monitor.tokenizer(" USER: And the bench? ASSISTANT:", return_tensors="pt")
    ids = torch.cat([first.sequences, question["input_ids"]], dim=1)
    return ids, first.past_key_values, inputs


def _copy(cache: DynamicCache) -> DynamicCache:
    again = DynamicCache()
    layers: Any = cache.layers
    for index, layer in enumerate(layers):
        again.update(layer.keys.clone(), layer.values.clone(), index)
    return again


@pytest.mark.parametrize(
    "options",
    [{}, {"do_sample": True}],
    ids=["greedy", "sampled"],
)
def test_a_second_turn_goes_on_from_the_cache(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], options: dict[str, Any]
) -> None:
    """Image positions are those of the first turn: given the whole conversation as ids, the
    evidence is that of reading all of it anew."""
    ids, cache, first = _second_turn(monitor, pictures)
    shared: dict[str, Any] = {**DICT, **options, "max_new_tokens": 6, "suppress_tokens": [2, 3]}
    torch.manual_seed(9)
    plain = tiny[0].generate(input_ids=ids, past_key_values=_copy(cache), **shared)
    heard = Heard()
    torch.manual_seed(9)
    watched = monitor.generate(
        input_ids=ids, past_key_values=_copy(cache), on_event=heard.append, **shared
    )
    same(plain, watched.output)
    whole = {**first, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert check_evidence(monitor, whole, plain.sequences, heard) == 6
    (report,) = watched.reports
    assert report.image_tokens == 4
    assert "And the bench?" in report.prompt


def test_a_second_turn_cannot_be_assisted(monitor: Monitor, pictures: list[Image.Image]) -> None:
    """transformers feeds the whole prompt into the cache that holds it already."""
    ids, cache, _ = _second_turn(monitor, pictures)
    with pytest.raises(OptionError, match="a second time, on top of the cache"):
        monitor.generate(input_ids=ids, past_key_values=cache, prompt_lookup_num_tokens=3)


def test_only_what_is_new_may_be_given(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """Then somebody must say where the image is: refused without image_positions, the same
    evidence with them."""
    ids, cache, _ = _second_turn(monitor, pictures)
    new = ids[:, cache.get_seq_length() :]
    given: dict[str, Any] = {"input_ids": new, "attention_mask": torch.ones_like(ids)}
    shared: dict[str, Any] = {**DICT, "max_new_tokens": 5, "suppress_tokens": [2, 3]}
    with pytest.raises(InputError, match=r"whole sequence as input_ids.*image_positions="):
        monitor.generate(**given, past_key_values=_copy(cache), **shared)
    plain = tiny[0].generate(**given, past_key_values=_copy(cache), **shared)
    image = monitor.anatomy.image_positions(ids)
    short = monitor.generate(**given, past_key_values=_copy(cache), image_positions=image, **shared)
    same(plain, short.output)
    whole = monitor.generate(input_ids=ids, past_key_values=_copy(cache), **shared)
    (one,), (other,) = short.reports, whole.reports
    assert one.image_tokens == other.image_tokens == 4
    assert other.prompt.endswith(one.prompt)
    assert [token.svar for token in one.tokens] == pytest.approx(
        [token.svar for token in other.tokens], abs=1e-6
    )


# --- embeddings ---------------------------------------------------------------------------------


@torch.no_grad()
def _embedded(model: Any, inputs: Any) -> Tensor:
    """The prompts as the decoder gets them, pictures in their places."""
    caught: list[Tensor] = []
    decoder = model.model.language_model

    def keep(module: Any, args: Any, kwargs: Any) -> None:
        caught.append(kwargs["inputs_embeds"])

    hook = decoder.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        model(**inputs)
    finally:
        hook.remove()
    return caught[0]


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}], ids=["greedy", "beams"])
def test_prompts_as_embeddings(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], options: dict[str, Any]
) -> None:
    """With the ids beside them, or with image_positions: the same captions and evidence as from
    ids and pictures, and bitwise what plain generate makes of the embeddings."""
    inputs = monitor.prepare(pictures[:2], ["What?", "Describe it in every detail."])
    embeds, mask = _embedded(tiny[0], inputs), inputs["attention_mask"]
    shared: dict[str, Any] = {**DICT, **options, "max_new_tokens": 5, "suppress_tokens": [2, 3]}
    reference = monitor.generate(**inputs, **shared)
    bare: dict[str, Any] = {"inputs_embeds": embeds, "attention_mask": mask}
    beside = {**bare, "input_ids": inputs["input_ids"]}
    image = monitor.anatomy.image_positions(inputs["input_ids"])
    for given, positions in ((beside, None), (bare, image)):
        plain = tiny[0].generate(**given, **shared)
        watched = monitor.generate(**given, **shared, image_positions=positions)
        same(plain, watched.output)
        for one, other in zip(watched.reports, reference.reports, strict=True):
            assert one.text == other.text
            assert one.image_tokens == other.image_tokens
            assert one.finish == other.finish == "length"
            assert [token.svar for token in one.tokens] == pytest.approx(
                [token.svar for token in other.tokens], abs=1e-5
            )


def test_what_nobody_could_know_is_refused(monitor: Monitor, pictures: list[Image.Image]) -> None:
    """Embeddings alone, ids of another length, positions of the wrong shape or without an image."""
    inputs = monitor.prepare(pictures[:1])
    ids = inputs["input_ids"]
    embeds = torch.zeros(*ids.shape, 32)
    none = torch.zeros_like(ids, dtype=torch.bool)
    with pytest.raises(InputError, match="known where the image is"):
        monitor.generate(inputs_embeds=embeds)
    with pytest.raises(InputError, match="of the same length"):
        monitor.generate(inputs_embeds=embeds, input_ids=ids[:, 1:])
    for wrong in (none, ids == 3, none[:, 1:], torch.ones_like(none)[:, 1:]):
        if wrong.shape == ids.shape and wrong.any():
            continue
        with pytest.raises(InputError, match="image_positions must be a bool tensor"):
            monitor.generate(**inputs, image_positions=wrong)


def test_a_policy_that_acts_wants_the_whole_prompt(pictures: list[Image.Image]) -> None:
    """It reads the prompt anew when it rolls back to it."""
    monitor = Monitor.from_pretrained("small")
    inputs = monitor.prepare([picture.resize((96, 96)) for picture in pictures[:1]])
    image = monitor.anatomy.image_positions(inputs["input_ids"])
    for call in (monitor.generate, monitor.stream):
        with pytest.raises(OptionError, match="image_positions cannot be given"):
            call(**inputs, policy="stop", image_positions=image)


def test_a_recorder_takes_what_a_watch_takes_but_modes(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """It records what comes one by one, and says so."""
    inputs = monitor.prepare(pictures[:1])
    ways: tuple[dict[str, Any], ...] = ({"num_beams": 2}, {"prompt_lookup_num_tokens": 2})
    for options in ways:
        with pytest.raises(OptionError, match="cannot be watched here"):
            Recorder(tiny[0], monitor.anatomy, inputs, **options)
