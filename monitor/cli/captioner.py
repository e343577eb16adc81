"""From image files to their records, whatever single images do: the part of a job that computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from transformers import BatchFeature

from ..attention.lens import has_lens
from ..errors import ImageError
from ..inspection import inspect
from ..jobs.retries import Portions, Retries
from ..models.images import ImageInfo, OpenedImage, open_image
from ..policy.policy import Policy
from ..report import Failure, Report
from ..session import Monitor
from .job import Recipe
from .terminal import LiveCaption, harmless, told


class Captioner:
    """Captions batches of files. What fails becomes a record; nothing is written anywhere.

    Args:
        monitor: the model to caption with.
        prompt: the question.
        max_new_tokens: where captions are cut.
        max_pixels: the largest image that is opened.
        policy: what to do about flags.
        retries: of what fails in a way that passes, such as a read from a network disk, and of
            images for which there was no memory.
        console: a terminal that shows captions; ``None`` to show nothing.
        inside: look at each finished caption again, for what the model's inside was like.
        on_smaller: told the size of the batches whenever there was no memory for larger ones.
    """

    def __init__(
        self,
        monitor: Monitor,
        *,
        prompt: str,
        max_new_tokens: int,
        max_pixels: int,
        policy: Policy | None = None,
        retries: Retries | None = None,
        console: Console | None = None,
        inside: bool = False,
        on_smaller: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._monitor = monitor
        self._prompt = prompt
        self._max_new_tokens = max_new_tokens
        self._max_pixels = max_pixels
        self._policy = policy
        self._retries = Retries() if retries is None else retries
        self._console = console
        self._inside = inside
        self._lens = inside and has_lens(monitor.anatomy)
        self._portions: Portions[OpenedImage, Report | Failure] = Portions(
            self._reports,
            lambda image, error: failure(image.info.path, error),
            retries=self._retries,
            on_smaller=on_smaller,
        )

    @property
    def recipe(self) -> Recipe:
        """How the captions are made, as far as reports tell."""
        watched, calibration = self._monitor.layers, self._monitor.calibration
        judged = calibration is not None and (self._policy is None or self._policy.act != "observe")
        return Recipe(
            model=self._monitor.name,
            question=self._prompt,
            max_new_tokens=self._max_new_tokens,
            layers=(watched.first, watched.last),
            policy=None if self._policy is None else self._policy.to_json(),
            calibration=calibration.name if judged and calibration is not None else None,
        )

    @property
    def lost(self) -> Exception | None:
        """What ended the use of the device; once there is such an error, every image fails."""
        return self._portions.lost

    def records(self, batch: Sequence[Path]) -> list[Report | Failure]:
        """Caption a batch: the record of each file, in order. No image raises anything."""
        records: list[Report | Failure | None] = []
        opened: list[OpenedImage] = []
        for path in batch:
            try:
                opened.append(self._retries.call(lambda path=path: self._open(path)))  # type: ignore[misc]
                records.append(None)
            except ImageError as error:
                records.append(failure(str(path), error))
        captioned = iter(self._portions.results(opened))
        return [next(captioned) if record is None else record for record in records]

    def _open(self, path: Path) -> OpenedImage:
        return open_image(path, max_pixels=self._max_pixels)

    def _reports(self, batch: Sequence[OpenedImage]) -> Sequence[Report]:
        reports = self._captions(batch)
        if not self._inside:
            return reports
        return [
            inspect(self._monitor, report, one.image, lens=self._lens, question=self._prompt)
            for report, one in zip(reports, batch, strict=True)
        ]

    def _captions(self, batch: Sequence[OpenedImage]) -> Sequence[Report]:
        infos = [one.info for one in batch]
        inputs = self._monitor.prepare([one.image for one in batch], self._prompt)
        if self._console is not None and len(batch) == 1:
            return [self._show(self._console, inputs, infos[0])]
        result = self._monitor.generate(
            **inputs, images=infos, max_new_tokens=self._max_new_tokens, policy=self._policy
        )
        if self._console is not None:
            for info, report in zip(infos, result.reports, strict=True):
                self._console.print(info.path, style="bold", markup=False)
                self._console.print(harmless(report.text), highlight=False, markup=False)
                _tell(self._console, report)
        return result.reports

    def _show(self, console: Console, inputs: BatchFeature, info: ImageInfo) -> Report:
        console.print(info.path, style="bold", markup=False, highlight=False)
        stream = self._monitor.stream(
            **inputs, images=[info], max_new_tokens=self._max_new_tokens, policy=self._policy
        )
        with stream, LiveCaption(console) as live:
            for event in stream:
                live.add(event)
        console.print()
        report = stream.watch.reports[0]
        _tell(console, report)
        return report


def failure(path: str, error: Exception) -> Failure:
    """The record of an image that could not be captioned."""
    return Failure(image=path, error=type(error).__name__, message=str(error))


def _tell(console: Console, report: Report) -> None:
    """What a policy did, below the caption."""
    for action in report.actions:
        console.print(told(action))
