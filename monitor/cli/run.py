"""A job: one window of files after another, and every report kept as soon as it is finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from ..jobs.lengths import PromptLengths
from ..jobs.retries import Retries
from ..jobs.windows import Window, windows
from ..judging.certified import promise_of
from ..policy.policy import Policy
from ..report import Failure, Report
from ..session import Monitor
from .bar import Bar
from .calibration import Cautions, introduction
from .captioner import Captioner
from .job import Progress, Recipe
from .records import RecordFile

ALL: Final = 0
NOTHING: Final = 1
SOME: Final = 3
INTERRUPTED: Final = 130


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
        self._console = console
        self._log = log
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
        self._cautions = Cautions()
        self._there = 0
        self._done = 0
        self._failed = 0
        self._total = 0
        self._bar: Bar | None = None

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
        self._total = len(files)
        done = self._flags(files)
        self._there = sum(done)
        self._introduce()
        if self._there:
            path = self._record_file.path if self._record_file is not None else ""
            self._log.print(f"{self._there} of {self._total} are in {path} already.", markup=False)
        try:
            with Bar(self._log, self._total, self._there, shown=self._console is None) as self._bar:
                length = self._length(batch_size) if self._there < self._total else None
                for window in windows(files, done, batch_size, length=length):
                    self._work(window)
        except KeyboardInterrupt:
            self._log.print(f"Interrupted; {self._done} finished reports are kept.", style="red")
            return INTERRUPTED
        if self._failed:
            self._log.print(f"{self._failed} of {self._total} images failed.", style="red")
        if not self._done and not self._there:
            return NOTHING
        return SOME if self._failed else ALL

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
            self._log.print(introduction(self._monitor.calibration, promise))
        for line in self._cautions.new(self._monitor.limits):
            self._log.print(line)

    def _work(self, window: Window[Path]) -> None:
        """Caption a window, and keep the records that are not there yet, in the files' order."""
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
            self._keep(new)
            for record in new:
                self._tell_of(record)
            self._stop_if_lost()

    def _tell_of(self, record: Report | Failure) -> None:
        if isinstance(record, Failure):
            self._failed += 1
            self._log.print(
                f"[{self._count}] {record.image}: {record.error}: {record.message}",
                style="red",
                markup=False,
            )
        else:
            self._done += 1
            if record.calibration != "uncalibrated":
                for line in self._cautions.new(record.calibration.limits):
                    self._log.print(line)
            self._progress(record)
        if self._bar is not None:
            self._bar.advance()

    def _say_smaller(self, size: int) -> None:
        self._log.print(f"Out of memory: batches of {size} for now.", style="yellow", markup=False)

    def _stop_if_lost(self) -> None:
        lost = self._captioner.lost
        if lost is not None:
            raise click.ClickException(
                f"The device failed and cannot be used by this process any more: {lost} The images "
                f"it was busy with are recorded as failed. The same command goes on with the "
                f"others; --retry-failed tries these again."
            )

    def _keep(self, records: Sequence[Report | Failure]) -> None:
        if self._record_file is not None and records:
            file = self._record_file
            try:
                self._retries.call(lambda: file.write(records))
            except OSError as error:
                raise click.ClickException(
                    f"A report could not be appended to {file.path}: {error}. The "
                    f"{self._there + self._done + self._failed} before it are kept; the same "
                    f"command goes on from there."
                ) from error
        if self._console is None:
            for record in records:
                click.echo(record.to_json())

    def _progress(self, report: Report) -> None:
        if self._console is not None or report.image is None or self._bar_is_shown:
            return
        seconds = report.timings.total
        took = "" if seconds is None else f", {seconds:.1f} s"
        self._log.print(
            f"[{self._count}] {report.image.path}: {len(report.mentions)} nouns, "
            f"{len(report.tokens)} tokens{took}",
            markup=False,
        )

    @property
    def _count(self) -> str:
        return f"{self._there + self._done + self._failed}/{self._total}"

    @property
    def _bar_is_shown(self) -> bool:
        return self._bar is not None and self._bar.shown
