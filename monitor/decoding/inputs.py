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
        ids: int64 ``[batch, length]``.
        image: bool ``[batch, length]``, True on image tokens.
        real: bool ``[batch, length]``, False on padding.
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


def read_prompts(
    inputs: Mapping[str, Any],
    *,
    model: PreTrainedModel,
    anatomy: Anatomy,
    options: DecodingOptions,
) -> PromptBatch:
    """Find the image tokens and the padding of each prompt.

    Raises:
        InputError: there are no ids, a prompt has no image token, or it fills the model's context.
    """
    ids = input_ids(inputs)
    try:
        image = anatomy.image_positions(ids)
    except ValueError as error:
        raise InputError(str(error)) from error
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(context, int) and ids.shape[1] >= context:
        raise InputError(
            f"The prompt must leave room for a token in the model's context of {context}, it "
            f"has {ids.shape[1]} tokens. Use fewer or smaller images, or a shorter prompt."
        )
    return PromptBatch(ids, image, _real(ids, inputs.get("attention_mask"), options))


def _real(ids: Tensor, mask: Tensor | None, options: DecodingOptions) -> Tensor:
    """Where a prompt is no padding, as ``generate`` itself finds out."""
    if mask is not None:
        return mask.bool()
    if options.pad is None or options.pad in options.eos:
        return torch.ones_like(ids, dtype=torch.bool)
    return ids != options.pad
