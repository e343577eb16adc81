"""From images and a question to the tensors of one batch: the one place that knows templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from PIL import Image
from transformers import BatchFeature, ProcessorMixin

from ...detectors.published import REFERENCE_PROMPT
from ..errors import InputError

DEFAULT_PROMPT: Final = REFERENCE_PROMPT
"""The prompt of the paper (arXiv 2411.16724)."""

Images = Image.Image | Sequence[Image.Image]


def prepare(
    processor: ProcessorMixin, images: Sequence[Images], prompt: str | Sequence[str]
) -> BatchFeature:
    """Tensors for ``generate``, padded on the left.

    Args:
        processor: with a chat template, ``prompt`` is the user's question alone; without one,
            ``prompt`` is the whole text and must hold the image token.
        images: one entry per caption: an image, or the images of one prompt in order.
        prompt: one for all, or one per entry of ``images``.

    Returns:
        CPU tensors, among them ``input_ids`` and ``attention_mask``, int64 ``[batch, length]``.

    Raises:
        InputError: there is no image, the counts disagree, or there is neither a chat template nor
            an image token in the prompt.
    """
    groups = [[item] if isinstance(item, Image.Image) else list(item) for item in images]
    prompts = [prompt] * len(groups) if isinstance(prompt, str) else list(prompt)
    if not groups or not all(groups):
        raise InputError("Every caption needs at least one image, got none.")
    if len(prompts) != len(groups):
        raise InputError(
            f"There must be one prompt, or one for each of the {len(groups)} entries of images, "
            f"got {len(prompts)}."
        )
    settings: dict[str, Any] = {
        "return_tensors": "pt",
        "padding": True,
        "padding_side": "left",
    }
    if getattr(processor, "chat_template", None):
        conversations = [
            [{"role": "user", "content": _content(group, text)}]
            for group, text in zip(groups, prompts, strict=True)
        ]
        template: Any = processor.apply_chat_template  # typed as if it only made text
        batch = template(
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs=settings,
        )
    else:
        token = getattr(processor, "image_token", "<image>")
        bare = [text for text in prompts if token not in text]
        if bare:
            raise InputError(
                f"{type(processor).__name__} has no chat template, so the prompt must hold the "
                f"image token {token!r}; it was {bare[0]!r}. Write for example "
                f"'USER: {token}\\n{bare[0]} ASSISTANT:'."
            )
        encode: Any = processor
        batch = encode(images=groups, text=prompts, **settings)
    if not isinstance(batch, BatchFeature):
        raise InputError(
            f"The processor must return a BatchFeature, {type(processor).__name__} returned "
            f"{type(batch).__name__}."
        )
    return batch


def _content(images: Sequence[Image.Image], text: str) -> list[dict[str, Any]]:
    return [
        *({"type": "image", "image": image} for image in images),
        {"type": "text", "text": text},
    ]
