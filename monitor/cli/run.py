"""A job: one window of files after another, and every report kept as soon as it is finished."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console

from ..jobs.retries import Retries
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
        self._record_file = record_file
        self._policy = policy
        retries = Retries() if retries is None else retries
        self._captioner = Captioner(
            monitor,
            prompt=prompt,
            max_new_tokens=max_new_tokens,
            max_pixels=max_pixels,
            policy=policy,
            retries=retries,
            console=console,
            inside=inside,
            on_smaller=self._say_smaller,
            on_unseen=self._say_unseen,
        )
        self._keeper = Keeper(record_file=record_file, console=console, log=log, retries=retries)

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

    def _introduce(self) -> None:
        """Say once who judges, and what must be known of it."""
        if self._monitor.calibration is not None:
            promise = promise_of(self._monitor.calibration, self._policy)
            self._keeper.log.print(introduction(self._monitor.calibration, promise))
        self._keeper.warn(self._monitor.limits)

    def _finished(
        self, files: Sequence[Path], done: Sequence[int], batch_size: int
    ) -> Iterator[Sequence[Report | Failure]]:
        for records in self._captioner.finished(files, done, batch_size):
            yield records
            self._stop_if_lost()

    def _say_unseen(self, why: str) -> None:
        self._keeper.log.print(why, style="yellow", markup=False)

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
