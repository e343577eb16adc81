"""What is known of each caption before its first token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import JsonValue
from torch import Tensor

from ...detectors.svar import LayerRange
from ..decoding.inputs import PromptBatch
from ..errors import InputError
from ..judging.judge import Judge
from ..judging.ruling import Ruling
from ..models.images import ImageInfo
from ..models.subject import Subject
from ..report import (
    CalibrationSection,
    CertificateSection,
    Header,
    ImageSection,
    LayersSection,
    ModelSection,
)


def headers(
    prompts: PromptBatch,
    *,
    images: Sequence[ImageInfo | None] | None,
    settings: dict[str, JsonValue],
    subject: Subject,
    layers: LayerRange,
    ruling: Ruling,
) -> Iterator[Header]:
    """One header per prompt.

    Args:
        prompts: what ``generate`` will get.
        images: what is known of each prompt's image file.
        settings: the options of ``generate``.
        subject: the model that will write.
        layers: what SVAR sums over.
        ruling: what judges the mentions and where it may be believed, and what is done about flags.

    Raises:
        InputError: ``images`` has another length than the batch.
    """
    ids, image, real = prompts.ids.cpu(), prompts.image.cpu(), prompts.real.cpu()
    if images is not None and len(images) != len(ids):
        raise InputError(
            f"images must have one entry for each of the {len(ids)} prompts, has {len(images)}."
        )
    model, policy, judge = subject.model, ruling.policy, ruling.judge
    described = ModelSection(
        name=subject.name,
        architecture=type(model).__name__,
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
    )
    for row, prompt in enumerate(ids):
        info = images[row] if images is not None else None
        text = prompt_text(subject.tokenizer, prompt, image[row], real[row])
        yield Header(
            model=described,
            prompt=text,
            image=None if info is None else ImageSection(**asdict(info)),
            image_tokens=int(image[row].sum()),
            settings=settings,
            layers=LayersSection(first=layers.first, last=layers.last, source=layers.source),
            calibration="uncalibrated" if judge is None else _section(judge, text, settings),
            policy=None if policy is None else policy.to_json(),
        )


def prompt_text(tokenizer: Any, prompt: Tensor, image: Tensor, real: Tensor) -> str:
    """A prompt as reports have it: special tokens included, one image token for each run of them.

    Args:
        tokenizer: the processor's.
        prompt: int64 ``[length]``; where it is only the end of the sequence, as beside a cache, it
            alone is told.
        image: bool ``[positions]``, True on image tokens.
        real: bool ``[positions]``, False on padding.
    """
    later = image & image.roll(1)
    later[0] = False
    return str(tokenizer.decode(prompt[(real & ~later)[len(image) - len(prompt) :]]))


def _section(judge: Judge, prompt: str, settings: dict[str, JsonValue]) -> CalibrationSection:
    calibration, promise = judge.calibration, judge.calibration.guarantee
    certified = judge.certificate
    return CalibrationSection(
        name=calibration.name,
        threshold=calibration.threshold,
        detector=calibration.detector,
        kind=calibration.kind,
        timing=calibration.timing,
        target=None if promise is None else promise.target,
        level=None if promise is None else promise.level,
        confidence=None if promise is None else promise.confidence,
        guarantee=None if promise is None else str(promise),
        certificate=None if certified is None else CertificateSection.of(certified),
        limits=judge.limits(prompt, settings),
    )
