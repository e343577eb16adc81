"""Where a vision-language model keeps what the monitor needs: attention, image tokens, head."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import InputError, ModelError
from .kind import check_kind

_LAYER_LISTS = ("layers", "h", "blocks")
_INNER = ("language_model", "text_model", "model", "transformer", "decoder")
_FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "final_norm")
_IMAGE_TOKENS = ("image_token_id", "image_token_index")


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """The parts of one model, found once and passed on.

    Attributes:
        model: the whole model, as given.
        decoder: the module that owns the decoder layers; its ``forward`` gets the KV cache.
        blocks: all decoder layers, in order.
        layers: the decoder layers, counted from 0, whose self-attention can be watched, ascending.
            A hybrid model has layers without attention: those are absent.
        attentions: the attention module of each entry of ``layers``.
        num_layers: depth of the decoder, layers without attention included.
        num_heads: query heads per layer.
        image_token_ids: token ids that stand for one image position each in ``input_ids``.
        lm_head: maps final hidden states to logits; ``None`` if the model does not say.
        final_norm: the normalisation before ``lm_head``; ``None`` if none was found.
    """

    model: nn.Module
    decoder: nn.Module
    blocks: tuple[nn.Module, ...]
    layers: tuple[int, ...]
    attentions: tuple[nn.Module, ...]
    num_layers: int
    num_heads: int
    image_token_ids: tuple[int, ...]
    lm_head: nn.Module | None
    final_norm: nn.Module | None

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        *,
        layers_path: str | None = None,
        image_token_id: int | Iterable[int] | None = None,
        lm_head: nn.Module | None = None,
        final_norm: nn.Module | None = None,
    ) -> Anatomy:
        """Find the parts of ``model``; every one can be named by the caller instead.

        Args:
            model: a transformers model that reads images and generates text.
            layers_path: dotted path of the decoder's ``ModuleList``, for example
                ``"model.language_model.layers"``.
            image_token_id: the id, or ids, of the image placeholder in ``input_ids``.
            lm_head: the module that maps hidden states to logits.
            final_norm: the decoder's last normalisation.

        Raises:
            ModelError: if the model reads no images, reads them through cross-attention, writes by
                a ``generate`` of its own, or a part cannot be found. The message names the argument
                that overrides the search.
        """
        name = type(model).__name__
        check_kind(model)
        ids = _image_token_ids(model, image_token_id)
        decoder, blocks = _decoder(model, layers_path)
        found = [(index, _self_attention(block)) for index, block in enumerate(blocks)]
        watched = [(index, module) for index, module in found if module is not None]
        if not watched:
            raise ModelError(
                f"At least one decoder layer must call the transformers attention interface; none "
                f"of the {len(blocks)} layers of {name} does. If its decoder is elsewhere, pass "
                f"layers_path=."
            )
        return cls(
            model=model,
            decoder=decoder,
            blocks=tuple(blocks),
            layers=tuple(index for index, _ in watched),
            attentions=tuple(module for _, module in watched),
            num_layers=len(blocks),
            num_heads=_num_heads(watched[0][1], name),
            image_token_ids=ids,
            lm_head=lm_head if lm_head is not None else _output_head(model),
            final_norm=final_norm if final_norm is not None else _first_of(decoder, _FINAL_NORMS),
        )

    def known_layers(self, layers: Iterable[int]) -> tuple[int, ...]:
        """``layers``, ascending and once each, if all of them can be watched.

        Raises:
            ValueError: if ``layers`` is empty or holds a layer without attention to watch.
        """
        wanted = tuple(sorted(set(layers)))
        unknown = sorted(set(wanted) - set(self.layers))
        if unknown or not wanted:
            raise ValueError(
                f"layers must be decoder layers with attention to watch, at least one of "
                f"{_ranges(self.layers)} (counted from 0); had: {unknown or 'none'}."
            )
        return wanted

    def image_positions(self, input_ids: Tensor) -> Tensor:
        """Where the prompt's image tokens are.

        Args:
            input_ids: int64 ``[batch, length]``, image placeholders expanded as the processor
                does it: one id per image position.

        Returns:
            bool ``[batch, length]``, on the device of ``input_ids``.

        Raises:
            InputError: if ``input_ids`` is not a matrix or a row has no image token.
        """
        if input_ids.ndim != 2:
            raise InputError(
                f"input_ids must have shape [batch, length], was: {tuple(input_ids.shape)}."
            )
        wanted = torch.tensor(self.image_token_ids, device=input_ids.device)
        image = torch.isin(input_ids, wanted)
        missing = (~image.any(dim=1)).nonzero().flatten().tolist()
        if missing:
            raise InputError(
                f"Every prompt must hold at least one image token (id "
                f"{', '.join(map(str, self.image_token_ids))}); rows without: {missing}. Give the "
                f"processor an image for each prompt, or, if the model marks images with another "
                f"id, pass image_token_id=."
            )
        return image


def _image_token_ids(model: nn.Module, override: int | Iterable[int] | None) -> tuple[int, ...]:
    if override is not None:
        ids = (override,) if isinstance(override, int) else tuple(override)
        if not ids:
            raise ModelError("image_token_id must name at least one token id, was empty.")
        return ids
    config = getattr(model, "config", None)
    for attribute in _IMAGE_TOKENS:
        value = getattr(config, attribute, None)
        if isinstance(value, int):
            return (value,)
    name, names = type(model).__name__, ", ".join(_IMAGE_TOKENS)
    if hasattr(config, "vision_config"):
        raise ModelError(
            f"Where the image is must be known from the prompt; the config of {name} has none of "
            f"{names}. If its prompts hold a token for each image position, pass image_token_id=. "
            f"If it puts the image in front of the prompt by itself, it cannot be watched."
        )
    raise ModelError(
        f"A vision-language model must name its image token; the config of {name} has none of "
        f"{names}, as a text-only model's. If it does read images, pass image_token_id=."
    )


def _decoder(model: nn.Module, path: str | None) -> tuple[nn.Module, nn.ModuleList]:
    """The decoder and its layers, from the given path or from where transformers keeps them."""
    name = type(model).__name__
    if path is not None:
        parent, _, leaf = path.rpartition(".")
        try:
            owner = model.get_submodule(parent)
            layers = owner.get_submodule(leaf)
        except AttributeError as error:
            raise ModelError(f"layers_path must lead to a module of {name}: {error}.") from error
        if not isinstance(layers, nn.ModuleList) or not len(layers):
            raise ModelError(
                f"layers_path must lead to a non-empty ModuleList of decoder layers, "
                f"{path!r} is: {type(layers).__name__}."
            )
        return owner, layers
    whole: Any = model
    decoder: nn.Module = whole.get_decoder() if hasattr(model, "get_decoder") else model
    # Some wrappers answer with a language model that still carries its own head.
    for _ in range(3):
        for attribute in _LAYER_LISTS:
            blocks = getattr(decoder, attribute, None)
            if isinstance(blocks, nn.ModuleList) and len(blocks):
                return decoder, blocks
        decoder = _first_of(decoder, _INNER) or decoder
    raise ModelError(
        f"The decoder layers of {name} were not found under {type(decoder).__name__}. Pass "
        f"layers_path=, the dotted path of their ModuleList."
    )


def _self_attention(layer: nn.Module) -> nn.Module | None:
    """The layer's self-attention module; ``None`` if the layer has no attention to watch."""
    for module in layer.modules():
        if not _calls_interface(type(module)) or not hasattr(module, "config"):
            continue
        return module
    return None


def _calls_interface(kind: type[nn.Module]) -> bool:
    """Whether the class looks its attention function up in transformers' registry."""
    code = getattr(inspect.unwrap(kind.forward), "__code__", None)
    return code is not None and "ALL_ATTENTION_FUNCTIONS" in code.co_names


def _num_heads(attention: nn.Module, model: str) -> int:
    for owner, attribute in (
        (getattr(attention, "config", None), "num_attention_heads"),
        (attention, "num_heads"),
    ):
        value = getattr(owner, attribute, None)
        if isinstance(value, int):
            return value
    raise ModelError(
        f"The attention of {model} ({type(attention).__name__}) does not say how many heads it "
        f"has: its config needs num_attention_heads."
    )


def _output_head(model: nn.Module) -> nn.Module | None:
    whole: Any = model
    head = whole.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return head if isinstance(head, nn.Module) else None


def _first_of(owner: nn.Module, names: Iterable[str]) -> nn.Module | None:
    for name in names:
        part = getattr(owner, name, None)
        if isinstance(part, nn.Module):
            return part
    return None


def _ranges(numbers: tuple[int, ...]) -> str:
    """``(0, 1, 2, 5)`` as ``0-2, 5``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
