"""Kinds of models that cannot be watched, each with its reason, before anything is decoded."""

from __future__ import annotations

import inspect
from typing import Any, Final

from torch import nn
from transformers import PreTrainedModel

from ..errors import ModelError

_INNER_MODELS: Final = ("language_model", "text_model", "text_decoder")
_REFERENCE_WINDOW: Final = "reference_sliding_attention"


def check_kind(model: PreTrainedModel) -> None:
    """Refuse models whose attention to the image cannot be found or does not mean anything.

    Raises:
        ModelError: an encoder-decoder; a model that decodes otherwise than by transformers' own
            ``generate``; a decoder with cross-attention; keys in no order that could be told.
    """
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise ModelError(
            f"The decoder must attend to the image within its own sequence; "
            f"{type(model).__name__} is an encoder-decoder, whose decoder sees the image through "
            f"what the encoder made of it. Use a decoder-only vision-language model."
        )
    _check_generate(model)
    _check_attention(model)


def _check_generate(model: PreTrainedModel) -> None:
    name = type(model).__name__
    if "generate" in vars(model):
        return  # bound by the caller, who knows what it does
    own = inspect.unwrap(getattr(type(model), "generate", _check_generate))
    if not own.__module__.startswith("transformers.models."):
        return
    code = own.__code__
    if "super" not in code.co_names:
        inner = next((part for part in _INNER_MODELS if part in code.co_names), None)
        how = (
            "decodes in a way of its own"
            if inner is None
            else f"hands embeddings to the generate() of its {inner}"
        )
        raise ModelError(
            f"The model must write by transformers' own generate(), token by token from input_ids; "
            f"{name}.generate() {how}. Use a model with image tokens in its prompt."
        )
    if "logits_processor" in code.co_varnames:
        raise ModelError(
            f"generate() must pass logits_processor on; {name}.generate() takes one and drops it. "
            f"To write text, bind the one that it calls: "
            f"model.generate = types.MethodType(GenerationMixin.generate, model)."
        )


def _check_attention(model: PreTrainedModel) -> None:
    whole: Any = model
    decoder: nn.Module = whole.get_decoder() if hasattr(model, "get_decoder") else model
    name = type(model).__name__
    kinds = [type(module).__name__ for module in decoder.modules()]
    crossing = [kind for kind in kinds if "CrossAttention" in kind]
    if crossing:
        kind = next((kind for kind in crossing if kind.endswith("Attention")), crossing[0])
        raise ModelError(
            f"The decoder must attend to the image within its own sequence; {name} reads it "
            f"through cross-attention ({kind}), where the attention mass on image tokens is "
            f"always 1. Use a model that puts its image tokens into the sequence."
        )
    layers = getattr(getattr(decoder, "config", None), "layer_types", None) or ()
    if _REFERENCE_WINDOW in layers:
        raise ModelError(
            f"The keys of a layer must be the whole sequence or its latest part; those of {name} "
            f"are the prompt and the latest part ({_REFERENCE_WINDOW}), where the image would be "
            f"looked for in the wrong place. Use a model with ordinary windows."
        )
