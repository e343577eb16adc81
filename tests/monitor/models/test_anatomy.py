"""Finding a model's parts, and saying how to name them where they cannot be found."""

from __future__ import annotations

import pytest
import torch
import transformers
from sightline.monitor.errors import InputError, ModelError
from sightline.monitor.models.anatomy import Anatomy
from torch import nn

from ...support.family import Family, build
from ...support.parts import IMAGE
from ..families import FAMILIES

TINY = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


@pytest.fixture(scope="module")
def llava() -> Family:
    """The tiny LLaVA."""
    return build("llava")


@pytest.fixture(scope="module")
def text_only() -> transformers.LlamaForCausalLM:
    """A language model without eyes."""
    return transformers.LlamaForCausalLM(transformers.LlamaConfig.from_dict(TINY))


@pytest.mark.parametrize("name", FAMILIES)
def test_finds_the_parts_of_every_family(name: str) -> None:
    """All four decoder layers, four heads, the head, the norm, and no part of the vision tower."""
    family = build(name)
    anatomy = Anatomy.of(family.model)
    assert anatomy.layers == (0, 1, 2, 3)
    assert (anatomy.num_layers, anatomy.num_heads) == (4, 4)
    assert anatomy.image_token_ids == (IMAGE,)
    assert anatomy.lm_head is family.model.lm_head
    assert anatomy.final_norm is anatomy.decoder.norm
    inside = set(anatomy.decoder.modules())
    assert inside.issuperset(anatomy.attentions)
    assert not [part for part in inside if "Vision" in type(part).__name__]
    assert torch.equal(anatomy.image_positions(family.inputs["input_ids"]), family.image)


def test_hybrid_models_report_their_attention_layers_only() -> None:
    """Layers without attention are absent, and the others keep their numbers."""
    config = transformers.Qwen3_5Config(
        text_config={
            **TINY,
            "num_hidden_layers": 4,
            "head_dim": 8,
            "layer_types": ["linear_attention", "full_attention"] * 2,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
            "num_position_embeddings": 16,
        },
        image_token_id=39,
    )
    anatomy = Anatomy.of(transformers.Qwen3_5ForConditionalGeneration(config))
    assert anatomy.layers == (1, 3)
    assert anatomy.num_layers == 4


def test_a_text_only_model_is_refused(text_only: transformers.LlamaForCausalLM) -> None:
    """Without an image token in the config there is nothing to watch, unless the user knows."""
    with pytest.raises(ModelError, match=r"LlamaForCausalLM has none of .* pass image_token_id="):
        Anatomy.of(text_only)
    assert Anatomy.of(text_only, image_token_id=7).image_token_ids == (7,)


def test_an_encoder_decoder_is_refused() -> None:
    """Where the image is behind cross-attention there is no attention mass to speak of."""
    config = transformers.T5Config(
        d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=40
    )
    with pytest.raises(ModelError, match="encoder-decoder"):
        Anatomy.of(transformers.T5ForConditionalGeneration(config))


def test_cross_attention_is_refused() -> None:
    """Mllama's layers that see only vision keys would report a mass of 1 for ever."""
    text = TINY | {"num_hidden_layers": 3, "cross_attention_layers": [1]}
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_global_layers": 1,
        "attention_heads": 2,
        "image_size": 8,
        "patch_size": 4,
        "vision_output_dim": 32,
        "intermediate_layers_indices": [0],
    }
    config = transformers.MllamaConfig(vision_config=vision, text_config=text, image_token_index=39)
    with pytest.raises(ModelError, match=r"cross-attention \(MllamaTextCrossAttention\)"):
        Anatomy.of(transformers.MllamaForConditionalGeneration(config))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("blip-2", r"Blip2.*hands embeddings to the generate\(\) of its language_model"),
        ("diffusion_gemma", r"decodes in a way of its own"),
        ("idefics", r"cross-attention \(IdeficsGatedCrossAttentionLayer\)"),
        ("pix2struct", "encoder-decoder"),
        ("git", r"none of image_token_id, image_token_index.* in front of the prompt"),
        ("kosmos-2.5", r"pass image_token_id="),
        ("unlimited_ocr", "the prompt and the latest part"),
    ],
)
def test_models_built_otherwise_are_refused(name: str, words: str) -> None:
    """Each kind with its reason: an inner generate, denoising, cross-attention, odd keys."""
    with pytest.raises(ModelError, match=words):
        Anatomy.of(build(name, rows=1).model)


def test_a_generate_that_drops_processors_can_be_replaced() -> None:
    """Janus' own is refused with the remedy; as the remedy says, it is watched."""
    model = build("janus", rows=1).model
    assert Anatomy.of(model).layers == (0, 1, 2, 3)
    del model.generate
    with pytest.raises(ModelError, match=r"drops it.*MethodType\(GenerationMixin.generate"):
        Anatomy.of(model)


def test_every_part_can_be_named(llava: Family) -> None:
    """Overrides win over the search."""
    head, norm = nn.Linear(32, 9), nn.LayerNorm(32)
    anatomy = Anatomy.of(
        llava.model,
        layers_path="model.language_model.layers",
        image_token_id=(5, 6),
        lm_head=head,
        final_norm=norm,
    )
    assert anatomy.decoder is llava.model.get_decoder()
    assert anatomy.image_token_ids == (5, 6)
    assert (anatomy.lm_head, anatomy.final_norm) == (head, norm)
    ids = torch.tensor([[1, 5, 6, 7]])
    assert anatomy.image_positions(ids).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("model.nowhere.layers", "layers_path must lead to a module"),
        ("model.language_model", "non-empty ModuleList"),
        ("model.multi_modal_projector", "non-empty ModuleList"),
    ],
)
def test_a_wrong_path_is_refused(llava: Family, path: str, message: str) -> None:
    """The error says what the path led to."""
    with pytest.raises(ModelError, match=message):
        Anatomy.of(llava.model, layers_path=path)


def test_layers_without_the_attention_interface_are_refused(llava: Family) -> None:
    """A decoder that computes attention by itself cannot be tapped, and the error says so."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = llava.model.config
            self.layers = nn.ModuleList([nn.Linear(2, 2)])

    odd: transformers.PreTrainedModel = Odd()  # type: ignore[assignment]
    with pytest.raises(ModelError, match="none of the 1 layers of Odd does"):
        Anatomy.of(odd)
    odd.layers = nn.ModuleList()
    with pytest.raises(ModelError, match="Pass layers_path="):
        Anatomy.of(odd)


def test_prompts_without_an_image_are_refused(llava: Family) -> None:
    """The rows are named, and so is the override."""
    ids = llava.inputs["input_ids"].clone()
    ids[1] = 9
    with pytest.raises(InputError, match=r"rows without: \[1\]"):
        Anatomy.of(llava.model).image_positions(ids)
    with pytest.raises(InputError, match=r"\[batch, length\], was: \(28,\)"):
        Anatomy.of(llava.model).image_positions(ids[0])
