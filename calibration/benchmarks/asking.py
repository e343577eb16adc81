"""A model answers questions on images: batched, watched, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from PIL import Image

from ...monitor.errors import ImageError
from ...monitor.models.images import ImageInfo, open_image
from ...monitor.report import Report
from ...monitor.session import Monitor
from .errors import BenchmarkError
from .replyfile import Item, Manner, ReplyFile, key_of

_TOO_MANY: Final = 8
"""Images that can be opened, but not asked about, in a row: then it is not the images' fault."""


class Asker:
    """Puts questions to a model and collects what it answers.

    A question that cannot be put (the image is missing or broken) gets a line with an ``error``
    and stops no other.

    Args:
        monitor: the model, watched.
        images: the folder of the images.
        answer: what a line calls the answer, ``answer`` or ``response``.
        max_new_tokens: where answers are cut.
        batch_size: questions put at once.

    Attributes:
        manner: how it asks.
        limits: what must be known of the verdicts on the answers so far, one sentence each.
    """

    def __init__(
        self,
        monitor: Monitor,
        images: Path,
        *,
        answer: str = "answer",
        max_new_tokens: int,
        batch_size: int = 8,
    ) -> None:
        self._monitor = monitor
        self._images = images
        self._answer = answer
        self._batch_size = batch_size
        self._failures = 0
        self.limits: dict[str, None] = {}  # in the order in which they came
        self.manner = Manner.of(monitor, max_new_tokens=max_new_tokens)

    def run(
        self,
        items: Sequence[Item],
        file: ReplyFile,
        *,
        on_done: Callable[[int, int], object] = lambda *_: None,
    ) -> None:
        """Ask what has no line in the file yet.

        Batches go by the place of their questions, whatever is done of them: an answer's last
        digits depend on its batch, and a job that was interrupted must come out as one that was
        not.

        Args:
            items: the questions.
            file: entered.
            on_done: called after each batch with how many questions are done, and of how many.

        Raises:
            BenchmarkError: several questions in a row failed although their images can be opened.
            OSError: the file cannot be written.
        """
        for start in range(0, len(items), self._batch_size):
            batch = items[start : start + self._batch_size]
            if any(key_of(item.fields) not in file.done for item in batch):
                rows = {key_of(i.fields): self._row(i, r) for i, r in self._asked(batch)}
                new = {key: row for key, row in rows.items() if key not in file.done}
                file.add(list(new.values()))
                file.done.update(new)
            on_done(start + len(batch), len(items))

    def _asked(self, batch: Sequence[Item]) -> list[tuple[Item, Report | Exception]]:
        """Each item with its report, or why there is none, in order."""
        opened: list[tuple[Item, Image.Image, ImageInfo]] = []
        found: dict[int, Report | Exception] = {}
        for place, item in enumerate(batch):
            try:
                one = open_image(self._images / item.image)
                opened.append((item, one.image, one.info))
            except ImageError as error:
                found[place] = error
        reports = iter(self._reports(opened))
        return [
            (item, found[place] if place in found else next(reports))
            for place, item in enumerate(batch)
        ]

    def _reports(
        self, batch: Sequence[tuple[Item, Image.Image, ImageInfo]]
    ) -> list[Report | Exception]:
        if not batch:
            return []
        try:
            inputs = self._monitor.prepare(
                [image for _, image, _ in batch], [item.prompt for item, _, _ in batch]
            )
            result = self._monitor.generate(
                **inputs,
                images=[info for _, _, info in batch],
                max_new_tokens=self.manner.max_new_tokens,
                do_sample=False,
            )
        except Exception as error:  # recorded; whatever one image does must not stop the others
            if len(batch) == 1:
                return [self._failed(error)]
            return [one for each in batch for one in self._reports([each])]
        self._failures = 0
        return list(result.reports)

    def _failed(self, error: Exception) -> Exception:
        self._failures += 1
        if self._failures == _TOO_MANY:
            raise BenchmarkError(
                f"{_TOO_MANY} questions in a row could not be asked, the last one with "
                f"{type(error).__name__}: {error} That is not the images' fault. Mend it and start "
                f"again: the same command goes on."
            ) from error
        return error

    def _row(self, item: Item, found: Report | Exception) -> Mapping[str, Any]:
        """A line of the file."""
        row: dict[str, Any] = dict(item.fields)
        if isinstance(found, Exception):
            return row | {"error": f"{type(found).__name__}: {found}"} | asdict(self.manner)
        if found.calibration != "uncalibrated":
            self.limits |= dict.fromkeys(found.calibration.limits)
        mentions = [
            {
                "word": mention.word,
                "object": mention.object,
                "svar": _number(mention.svar),
                "probability": _number(mention.probability),
                "flagged": mention.flagged,
            }
            for mention in found.mentions
        ]
        return row | {self._answer: found.text} | asdict(self.manner) | {"mentions": mentions}


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None
