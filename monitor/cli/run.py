"""A job: one window of files after another, and every report kept as soon as it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console

from ..jobs.lengths import PromptLengths
from ..jobs.retries import Retries
from ..jobs.windows import Window, windows
from ..judging.certified import promise_of
from ..policy.policy import Policy
from ..report import Failure, Report
from ..session import Monitor
from .calibration import introduction
from .captioner import Captioner
from .job import Progress, Recipe
from .keeper import Keeper
from .records import RecordFile


class CaptionRun:
    """Captions files and keeps every report as soon as it is finished.

    Args:
        monitor: the model to caption with.
        prompt: the question.
        max_new_tokens: where captions are cut.
        max_pixels: the largest image that is opened.
        record_file: open, where reports are appended; ``None`` to append them nowhere. Images that
            have their record there are not captioned again.
        console: a terminal that shows captions; ``None`` to print JSON lines on stdout.
        log: where progress goes.
        policy: what to do about flags.
        retries: of what fails in a way that passes.
        inside: look at each finished caption again, for what the model's inside was like.
    """

    def __init__(
        self,
        *,
        monitor: Monitor,
        prompt: str,
        max_new_tokens: int,
        max_pixels: int,
        record_file: RecordFile | None,
        console: Console | None,
        log: Console,
        policy: Policy | None = None,
        retries: Retries | None = None,
        inside: bool = False,
    ) -> None:
        self._monitor = monitor
        self._prompt = prompt
        self._max_pixels = max_pixels
        self._record_file = record_file
        self._policy = policy
        self._retries = Retries() if retries is None else retries
        self._captioner = Captioner(
            monitor,
            prompt=prompt,
            max_new_tokens=max_new_tokens,
            max_pixels=max_pixels,
            policy=policy,
            retries=self._retries,
            console=console,
            inside=inside,
            on_smaller=self._say_smaller,
        )
        self._keeper = Keeper(
            record_file=record_file, console=console, log=log, retries=self._retries
        )

    @property
    def recipe(self) -> Recipe:
        """How the captions are made, as far as reports tell."""
        return self._captioner.recipe

    def all(self, files: Sequence[Path], *, batch_size: int = 1) -> int:
        """Caption every file that has no record yet; the exit code that tells how it went.

        Raises:
            InputError: the file of reports was made in another way.
            click.ClickException: a report cannot be written, or the device failed.
        """
        done = self._flags(files)
        self._introduce()
        finished = self._finished(files, done, batch_size)
        return self._keeper.all(finished, total=len(files), there=sum(done))

    def _flags(self, files: Sequence[Path]) -> bytes:
        """Of each file, 1 where its record is there."""
        file = self._record_file
        if file is None:
            return bytes(len(files))
        return Progress.of(file.read(), self.recipe, file.path).flags(files)

    def _length(self, batch_size: int) -> Callable[[Path], int] | None:
        """What tells prompts apart by their length; ``None`` where that is of no use."""
        if batch_size == 1:
            return None
        lengths = PromptLengths(
            self._monitor.processor,
            self._prompt,
            max_pixels=self._max_pixels,
            retries=self._retries,
        )
        return lengths.of if lengths.vary else None

    def _introduce(self) -> None:
        """Say once who judges, and what must be known of it."""
        if self._monitor.calibration is not None:
            promise = promise_of(self._monitor.calibration, self._policy)
            self._keeper.log.print(introduction(self._monitor.calibration, promise))
        self._keeper.warn(self._monitor.limits)

    def _finished(
        self, files: Sequence[Path], done: Sequence[int], batch_size: int
    ) -> Iterator[Sequence[Report | Failure]]:
        """The records that are not there yet, in the files' order."""
        length = self._length(batch_size) if not all(done) else None
        for window in windows(files, done, batch_size, length=length):
            yield from self._caption(window)

    def _caption(self, window: Window[Path]) -> Iterator[Sequence[Report | Failure]]:
        found: dict[int, Report | Failure] = {}
        wanted = [place for place, done in enumerate(window.done) if not done]
        for batch in window.batches:
            records = self._captioner.records([window.items[place] for place in batch])
            found.update(zip(batch, records, strict=True))
            ready = 0
            while ready < len(wanted) and wanted[ready] in found:
                ready += 1
            # Those that wait for one before them are lost with the process, and made again.
            if self._captioner.lost is not None:
                wanted = [place for place in wanted if place in found]
                ready = len(wanted)
            new = [found.pop(place) for place in wanted[:ready]]
            wanted = wanted[ready:]
            yield new
            self._stop_if_lost()

    def _say_smaller(self, size: int) -> None:
        self._keeper.log.print(
            f"Out of memory: batches of {size} for now.", style="yellow", markup=False
        )

    def _stop_if_lost(self) -> None:
        lost = self._captioner.lost
        if lost is not None:
            raise click.ClickException(
                f"The device failed and cannot be used by this process any more: {lost} The images "
                f"it was busy with are recorded as failed. The same command goes on with the "
                f"others; --retry-failed tries these again."
            )
