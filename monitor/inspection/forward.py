"""One pass over a prompt and its caption, read at the rows that matter."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...detectors.evidence import IMAGE
from ..attention.tap import AttentionTap
from ..models.anatomy import Anatomy
from .imagelens import ImageLens, ImageReading
from .restored import restored

# These say of each position whether it is an image's: 0 on text.
_IMAGE_TYPES: Final = frozenset({"mm_token_type_ids", "moe_mm_token_type_ids"})


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """What a pass showed of some rows.

    Attributes:
        layers: the decoder layers with attention, counted from 0, ascending.
        var: float32 ``[rows, layers]``, attention mass on the image, mean over heads, 0..1.
        patches: float32 ``[rows, layers, image tokens]``, that mass by image token.
        reading: what the image tokens read as; ``None`` without the lens.
    """

    layers: tuple[int, ...]
    var: npt.NDArray[np.float32]
    patches: npt.NDArray[np.float32]
    reading: ImageReading | None


def look(
    anatomy: Anatomy,
    inputs: Mapping[str, Any],
    caption: Sequence[int],
    rows: Sequence[int],
    *,
    asked: Sequence[int] | None,
) -> Glance:
    """Let a model read a prompt and its caption at once, and look at some rows.

    One row of the batch, all its positions in a single forward pass, without a cache. Of the
    attention only the rows asked for are recomputed (:class:`~..attention.tap.AttentionTap`); the
    output head reads the last position alone. The model is left as found, whatever is raised.

    Args:
        anatomy: the model and its parts.
        inputs: what the processor made of one picture and one question.
        caption: token ids that follow the prompt.
        rows: which tokens are looked at when they are predicted: places in the caption, at most
            ``len(caption)``, the token after its last.
        asked: token ids whose probability at the image tokens is wanted; ``None`` for no lens.

    Raises:
        InputError: the prompt has no image token.
        ModelError: the lens is wanted, and the model has no output head or final norm.
    """
    model: Any = anatomy.model
    prompt: Tensor = inputs["input_ids"]
    image = anatomy.image_positions(prompt)
    length = prompt.shape[1]
    wanted = torch.tensor(sorted(set(rows)), device=prompt.device) + length - 1
    lens = None
    if asked is not None:
        lens = ImageLens(anatomy, image[0].nonzero().flatten().cpu(), asked)
    tap = AttentionTap(anatomy, image, patches=1, rows=wanted.unsqueeze(0))
    given = _longer(inputs, image, caption)
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        given["logits_to_keep"] = 1  # nobody looks at the others, which may fill the memory
    with ExitStack() as stack:
        stack.enter_context(restored(model))
        stack.enter_context(tap)
        if lens is not None:
            stack.enter_context(lens)
        model(**given, use_cache=False)
        step = tap.take()
        reading = None if lens is None else lens.take()
    assert step.patches is not None
    places = [sorted(set(rows)).index(row) for row in rows]
    var = step.masses[0, ..., IMAGE].mean(dim=1).T  # [rows, layers]
    return Glance(
        layers=step.layers,
        var=var.cpu().numpy()[places],
        patches=step.patches[0].transpose(0, 1).cpu().numpy()[places],
        reading=reading,
    )


def _longer(inputs: Mapping[str, Any], image: Tensor, caption: Sequence[int]) -> dict[str, Any]:
    """The inputs as they would be if the caption had been part of the prompt's text."""
    given = dict(inputs)
    prompt: Tensor = given["input_ids"]
    new = torch.tensor([list(caption)], dtype=prompt.dtype, device=prompt.device)
    given["input_ids"] = torch.cat([prompt, new], dim=1)
    mask = given.get("attention_mask")
    mask = torch.ones_like(prompt) if mask is None else mask
    given["attention_mask"] = torch.cat([mask, mask.new_ones(new.shape)], dim=1)
    for name in (*_IMAGE_TYPES, "token_type_ids"):
        types = given.get(name)
        if isinstance(types, Tensor):
            # PaliGemma's types tell the question (0), which sees all of itself, from the answer
            # (1); everybody else's tell the image from the text.
            answer = name not in _IMAGE_TYPES and not bool(types[image].any())
            later = torch.full_like(new, int(answer), dtype=types.dtype)
            given[name] = torch.cat([types, later], dim=1)
    return given
