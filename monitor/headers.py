"""What is known of each caption before its first token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Literal

from pydantic import JsonValue
from transformers import PreTrainedModel

from ..detectors.svar import LayerRange
from ..detectors.verdict import Calibration
from .errors import InputError
from .images import ImageInfo
from .inputs import PromptBatch
from .report import CalibrationSection, Header, ImageSection, LayersSection, ModelSection


def headers(
    prompts: PromptBatch,
    *,
    images: Sequence[ImageInfo | None] | None,
    settings: dict[str, JsonValue],
    model: PreTrainedModel,
    name: str,
    tokenizer: Any,
    layers: LayerRange,
    calibration: Calibration | None,
) -> Iterator[Header]:
    """One header per prompt.

    Args:
        prompts: what ``generate`` will get.
        images: what is known of each prompt's image file.
        settings: the options of ``generate``.
        model: the model that will write.
        name: what reports call it.
        tokenizer: turns the prompt back into text.
        layers: what SVAR sums over.
        calibration: what judges the mentions.

    Raises:
        InputError: ``images`` has another length than the batch.
    """
    ids, image, real = prompts.ids.cpu(), prompts.image.cpu(), prompts.real.cpu()
    if images is not None and len(images) != len(ids):
        raise InputError(
            f"images must have one entry for each of the {len(ids)} prompts, has {len(images)}."
        )
    described = ModelSection(
        name=name,
        architecture=type(model).__name__,
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
    )
    judged: CalibrationSection | Literal["uncalibrated"] = "uncalibrated"
    if calibration is not None:
        judged = CalibrationSection(name=calibration.name, threshold=calibration.threshold)
    for row, prompt in enumerate(ids):
        info = images[row] if images is not None else None
        # A run of image tokens is one image: its first token stands for it.
        later = image[row] & image[row].roll(1)
        later[0] = False
        yield Header(
            model=described,
            prompt=str(tokenizer.decode(prompt[real[row] & ~later])),
            image=None if info is None else ImageSection(**asdict(info)),
            image_tokens=int(image[row].sum()),
            settings=settings,
            layers=LayersSection(first=layers.first, last=layers.last, source=layers.source),
            calibration=judged,
        )
