"""From image files to their records, whatever single images do: the part of a job that computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from transformers import BatchFeature

from ..attention.lens import has_lens
from ..errors import ImageError, SightlineError
from ..inspection import inspect
from ..jobs.lengths import PromptLengths
from ..jobs.retries import Portions, Retries
from ..jobs.windows import Window, windows
from ..models.images import ImageInfo, OpenedImage, open_image
from ..policy.policy import Policy
from ..report import Failure, Report
from ..session import Monitor
from .job import Recipe
from .terminal import LiveCaption, harmless, told


@dataclass(frozen=True, slots=True)
class Content:
    """An image file that was read already.

    Attributes:
        name: what reports and errors call it.
        content: the bytes of the file.
    """

    name: str
    content: bytes

    def __str__(self) -> str:
        return self.name


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
        on_unseen: told why a caption could not be looked at again; its report is kept without.
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
        on_unseen: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._monitor = monitor
        self._prompt = prompt
        self._max_new_tokens = max_new_tokens
        self._max_pixels = max_pixels
        self._policy = policy
        self._retries = Retries() if retries is None else retries
        self._console = console
        self._inside = inside
        self._on_unseen = on_unseen
        self._lens = inside and has_lens(monitor.anatomy)
        self._lengths: PromptLengths | None = None
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

    def finished(
        self, files: Sequence[Path], done: Sequence[int], batch_size: int
    ) -> Iterator[list[Report | Failure]]:
        """Caption files in batches: the records that are not there yet, in the files' order.

        Once the device is lost, those that are finished come, whatever they waited for.

        Args:
            files: of a job, or of a part of one that begins where a window of it does.
            done: of each, whether its record is there.
            batch_size: images captioned at once.
        """
        length = self._length(batch_size) if not all(done) else None
        for window in windows(files, done, batch_size, length=length):
            yield from self._window(window)

    def _length(self, batch_size: int) -> Callable[[Path], int] | None:
        """What tells prompts apart by their length; ``None`` where that is of no use."""
        if batch_size == 1:
            return None
        if self._lengths is None:
            self._lengths = PromptLengths(
                self._monitor.processor,
                self._prompt,
                max_pixels=self._max_pixels,
                retries=self._retries,
            )
        return self._lengths.of if self._lengths.vary else None

    def _window(self, window: Window[Path]) -> Iterator[list[Report | Failure]]:
        found: dict[int, Report | Failure] = {}
        wanted = [place for place, done in enumerate(window.done) if not done]
        for batch in window.batches:
            records = self.records([window.items[place] for place in batch])
            found.update(zip(batch, records, strict=True))
            ready = 0
            while ready < len(wanted) and wanted[ready] in found:
                ready += 1
            # Those that wait for one before them are lost with the process, and made again.
            if self.lost is not None:
                wanted = [place for place in wanted if place in found]
                ready = len(wanted)
            yield [found.pop(place) for place in wanted[:ready]]
            wanted = wanted[ready:]

    def records(self, batch: Sequence[Path | Content]) -> list[Report | Failure]:
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

    def _open(self, source: Path | Content) -> OpenedImage:
        if isinstance(source, Content):
            return open_image(source.content, max_pixels=self._max_pixels, name=source.name)
        return open_image(source, max_pixels=self._max_pixels)

    def _reports(self, batch: Sequence[OpenedImage]) -> Sequence[Report]:
        reports = self._captions(batch)
        if not self._inside:
            return reports
        return [self._looked_at(report, one) for report, one in zip(reports, batch, strict=True)]

    def _looked_at(self, report: Report, opened: OpenedImage) -> Report:
        try:
            return inspect(
                self._monitor, report, opened.image, lens=self._lens, question=self._prompt
            )
        except SightlineError as error:  # told; the caption is there all the same
            self._on_unseen(f"{opened.info.path} was captioned and not looked at again: {error}")
            return report

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
