"""The prompts of a batch, read from the tensors that ``generate`` will get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..errors import InputError
from ..models.anatomy import Anatomy
from .options import DecodingOptions


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """Prompts that can be watched.

    Attributes:
        ids: int64 ``[batch, length]``, what ``generate`` goes on from; of length 0 where the
            prompt comes as embeddings alone.
        image: bool ``[batch, positions]``, True on image tokens. As many positions as ids, unless
            ``ids`` are only what follows a cache, or there are none.
        real: bool ``[batch, positions]``, False on padding.
    """

    ids: Tensor
    image: Tensor
    real: Tensor


def input_ids(inputs: Mapping[str, Any]) -> Tensor:
    """The prompts' token ids.

    Raises:
        InputError: there are none, or they are not a matrix.
    """
    if inputs.get("inputs_embeds") is not None:
        raise InputError(
            "Image tokens cannot be told from embeddings: pass input_ids, not inputs_embeds."
        )
    ids = inputs.get("input_ids")
    if not isinstance(ids, Tensor) or ids.ndim != 2:
        raise InputError(
            "inputs must hold input_ids of shape [batch, length], as the processor makes them "
            "with return_tensors='pt'."
        )
    return ids


def prompt_length(inputs: Mapping[str, Any]) -> int:
    """What ``max_length`` counts as the prompt.

    Raises:
        InputError: there are neither ids nor embeddings.
    """
    embeds = inputs.get("inputs_embeds")
    return int(embeds.shape[1]) if isinstance(embeds, Tensor) else input_ids(inputs).shape[1]


def read_prompts(
    inputs: Mapping[str, Any],
    *,
    model: PreTrainedModel,
    anatomy: Anatomy,
    options: DecodingOptions,
    image_positions: Tensor | None = None,
) -> PromptBatch:
    """Find the image tokens and the padding of each prompt.

    Args:
        inputs: what ``generate`` will get; prompts as ids, as embeddings, or both.
        model: the model that will read them.
        anatomy: knows its image tokens.
        options: know its padding.
        image_positions: bool ``[batch, positions]``, where the image is if the ids do not tell:
            positions of the whole sequence, those in a cache included.

    Raises:
        InputError: there are no ids, a prompt has no image token or one that cannot be found, or
            it fills the model's context.
    """
    embeds, mask = inputs.get("inputs_embeds"), inputs.get("attention_mask")
    if not isinstance(embeds, Tensor):
        ids = input_ids(inputs)
        # With a cache, ids may be the whole sequence, or what is new of it: then the mask tells.
        positions = ids.shape[1] if mask is None else max(ids.shape[1], mask.shape[1])
    else:
        none = torch.empty(len(embeds), 0, dtype=torch.int64, device=embeds.device)
        ids = none if inputs.get("input_ids") is None else inputs["input_ids"]
        positions = embeds.shape[1]
        if options.mode == "assisted":
            raise InputError(
                "Assisted decoding drafts what follows token ids: pass input_ids and no "
                "inputs_embeds, or decode without an assistant."
            )
        if ids.shape[1] not in (0, positions):
            raise InputError(
                f"input_ids beside inputs_embeds must be of the same length, were of "
                f"{ids.shape[1]} and {positions} positions. Pass the ids that the embeddings "
                f"stand for, or none."
            )
    if image_positions is not None:
        image = _given(image_positions, len(ids), positions if mask is not None else None)
        positions = image.shape[1]
    elif ids.shape[1] != positions:
        raise InputError(
            f"It must be known where the image is: of a sequence of {positions} positions "
            f"input_ids tell of {ids.shape[1]}. Pass the whole sequence as input_ids, beside a "
            f"cache or embeddings too, or say where the image is: image_positions=, bool "
            f"[batch, {positions}]."
        )
    else:
        try:
            image = anatomy.image_positions(ids)
        except ValueError as error:
            raise InputError(str(error)) from error
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(context, int) and positions >= context:
        raise InputError(
            f"The prompt must leave room for a token in the model's context of {context}, it "
            f"has {positions} tokens. Use fewer or smaller images, or a shorter prompt."
        )
    return PromptBatch(ids, image, _real(ids, positions, mask, options))


def _given(image: Tensor, batch: int, positions: int | None) -> Tensor:
    wanted = (batch, image.shape[-1] if positions is None else positions)
    if image.dtype != torch.bool or tuple(image.shape) != wanted or not image.any(dim=1).all():
        raise InputError(
            f"image_positions must be a bool tensor {list(wanted)} with at least one True in each "
            f"row, was: {image.dtype} {list(image.shape)}."
        )
    return image


def _real(ids: Tensor, positions: int, mask: Tensor | None, options: DecodingOptions) -> Tensor:
    """Where a prompt is no padding, as ``generate`` itself finds out."""
    if mask is not None:
        return mask.bool()
    if ids.shape[1] != positions:
        return torch.ones(len(ids), positions, dtype=torch.bool, device=ids.device)
    if options.pad is None or options.pad in options.eos:
        return torch.ones_like(ids, dtype=torch.bool)
    return ids != options.pad
