"""The prompt of a report, made again with the processor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from transformers import BatchFeature

from ..errors import InputError
from ..models.prompts import DEFAULT_PROMPT, Images
from ..report import Report
from ..watching.headers import prompt_text

if TYPE_CHECKING:
    from ..session import Monitor


def prompt_again(
    monitor: Monitor, report: Report, image: Images, *, question: str | None = None
) -> BatchFeature:
    """What ``monitor.prepare`` made when the caption of a report was written.

    A report has its prompt as the model read it, with the words around the question. What those
    are is found out by asking the question of the paper; whatever is tried must give the very
    prompt of the report again.

    Args:
        monitor: of the model that wrote the caption.
        report: its report.
        image: the picture, or the pictures of the prompt.
        question: what was asked, if it is known.

    Raises:
        InputError: another prompt comes out, or another number of image tokens.
    """
    made = ""
    for asked in _candidates(monitor, report, image) if question is None else iter((question,)):
        inputs = monitor.prepare([image], asked)
        made, count = _read(monitor, inputs)
        if made != report.prompt:
            continue
        if count != report.image_tokens:
            raise InputError(
                f"The picture must be the one that was captioned: in the report it takes "
                f"{report.image_tokens} image tokens, this one takes {count}. Find the picture as "
                f"it was, or caption it again."
            )
        return inputs
    raise InputError(
        f"The prompt must be the report's, {report.prompt!r}, the processor makes {made!r}. Use "
        f"the model that wrote the caption, or say what it was asked (--prompt)."
    )


def _candidates(monitor: Monitor, report: Report, image: Images) -> Iterator[str]:
    """Questions that may have been asked, the likeliest first."""
    if getattr(monitor.processor, "chat_template", None):
        yield DEFAULT_PROMPT
        # What stands around the question is what stands around any question.
        inner = _inner(monitor, report, image, DEFAULT_PROMPT)
        if inner is not None:
            yield inner
        return
    token = str(getattr(monitor.processor, "image_token", "<image>"))
    for probe in (f"{token}\n{DEFAULT_PROMPT}", f"{token}{DEFAULT_PROMPT}"):
        for known in (probe, DEFAULT_PROMPT):
            inner = _inner(monitor, report, image, probe, known)
            if inner is not None:
                yield inner if token in inner else f"{token}{inner}"


def _inner(
    monitor: Monitor, report: Report, image: Images, probe: str, known: str | None = None
) -> str | None:
    """What stands in the report's prompt where ``known``, part of the probe, stands in its own."""
    around, _ = _read(monitor, monitor.prepare([image], probe))
    before, found, after = around.partition(probe if known is None else known)
    prompt = report.prompt
    fits = prompt.startswith(before) and prompt.endswith(after)
    if not found or not fits or len(prompt) < len(before) + len(after):
        return None
    return prompt[len(before) : len(prompt) - len(after)]


def _read(monitor: Monitor, inputs: BatchFeature) -> tuple[str, int]:
    """A prompt as reports have it, and its number of image tokens."""
    ids = inputs["input_ids"].cpu()
    image = monitor.anatomy.image_positions(ids)
    real = torch.ones_like(image)
    return prompt_text(monitor.tokenizer, ids[0], image[0], real[0]), int(image.sum())
