"""How long an image's prompt is, without reading its pixels: its size decides."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image
from transformers import ProcessorMixin

from ..errors import ImageError
from ..models.images import image_size
from ..models.prompts import prepare
from .retries import Retries

PROBES: Final = ((224, 224), (640, 480), (480, 640), (1280, 720), (333, 1000), (96, 96))
"""Pictures of these sizes, in pixels, tell whether prompts differ in length at all."""

_KNOWN: Final = 16384


class PromptLengths:
    """Tokens of a question about a picture, by the picture's size.

    Args:
        processor: makes the prompts.
        prompt: the question.
        max_pixels: larger images are not captioned.
        retries: of reads that fail in a way that passes.

    Attributes:
        vary: whether larger pictures have longer prompts, or all have the same.
    """

    def __init__(
        self, processor: ProcessorMixin, prompt: str, *, max_pixels: int, retries: Retries
    ) -> None:
        self._processor = processor
        self._prompt = prompt
        self._max_pixels = max_pixels
        self._retries = retries
        self._of_size = lru_cache(maxsize=_KNOWN)(self._measure)
        self.vary = len({self._of_size(*size) for size in PROBES}) > 1

    def of(self, path: Path) -> int:
        """Tokens of the prompt about this image, 0 where it cannot be had: it fails later."""
        try:
            width, height = self._retries.call(lambda: image_size(path))
        except ImageError:
            return 0
        return 0 if width * height > self._max_pixels else self._of_size(width, height)

    def _measure(self, width: int, height: int) -> int:
        blank = Image.new("RGB", (width, height))
        try:
            inputs = prepare(self._processor, [blank], self._prompt)
        except (ValueError, TypeError, RuntimeError):  # told with the image, when it is captioned
            return 0
        return int(inputs["input_ids"].shape[-1])
