"""Captioning one file after another: what fails, fails alone, and what is finished is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from transformers import BatchFeature

from ..certified import promise_of
from ..errors import ImageError
from ..models.images import ImageInfo, OpenedImage, open_image
from ..policy.policy import Policy
from ..report import Failure, Report
from ..session import Monitor
from .bar import Bar
from .calibration import Cautions, introduction
from .job import Progress, Recipe
from .records import RecordFile
from .terminal import LiveCaption, harmless, told

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
    ) -> None:
        self._monitor = monitor
        self._prompt = prompt
        self._max_new_tokens = max_new_tokens
        self._max_pixels = max_pixels
        self._record_file = record_file
        self._console = console
        self._log = log
        self._policy = policy
        self._cautions = Cautions()
        self._there = 0
        self._done = 0
        self._failed = 0
        self._total = 0
        self._bar: Bar | None = None

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

    def all(self, files: Sequence[Path], *, batch_size: int = 1) -> int:
        """Caption every file that has no record yet; the exit code that tells how it went.

        Raises:
            InputError: the file of reports was made in another way.
            click.ClickException: a report cannot be written.
        """
        self._total = len(files)
        progress = Progress(0, 0, Counter())
        if self._record_file is not None:
            progress = Progress.of(self._record_file.read(), self.recipe, self._record_file.path)
        self._introduce()
        batches = list(progress.batches(files, batch_size))
        self._there = self._total - sum(not done for batch in batches for _, done in batch)
        if self._there:
            path = self._record_file.path if self._record_file is not None else ""
            self._log.print(f"{self._there} of {self._total} are in {path} already.", markup=False)
        try:
            with Bar(self._log, self._total, self._there, shown=self._console is None) as self._bar:
                for batch in batches:
                    self._work(batch)
        except KeyboardInterrupt:
            self._log.print(f"Interrupted; {self._done} finished reports are kept.", style="red")
            return INTERRUPTED
        if self._failed:
            self._log.print(f"{self._failed} of {self._total} images failed.", style="red")
        if not self._done and not self._there:
            return NOTHING
        return SOME if self._failed else ALL

    def _introduce(self) -> None:
        """Say once who judges, and what must be known of it."""
        if self._monitor.calibration is not None:
            promise = promise_of(self._monitor.calibration, self._policy)
            self._log.print(introduction(self._monitor.calibration, promise))
        for line in self._cautions.new(self._monitor.limits):
            self._log.print(line)

    def _work(self, batch: Sequence[tuple[Path, bool]]) -> None:
        """Caption a batch, and keep the records that are not there yet, in the files' order."""
        records: list[Report | Failure | None] = []
        opened: list[OpenedImage] = []
        for path, _ in batch:
            try:
                opened.append(open_image(path, max_pixels=self._max_pixels))
                records.append(None)
            except ImageError as error:
                records.append(_failure(str(path), error))
        captioned = iter(self._captioned(opened))
        records = [next(captioned) if record is None else record for record in records]
        new = [
            record
            for record, (_, done) in zip(records, batch, strict=True)
            if record is not None and not done
        ]
        self._keep(new)
        for record in new:
            self._tell_of(record)

    def _captioned(self, batch: Sequence[OpenedImage]) -> Sequence[Report | Failure]:
        if not batch:
            return ()
        try:
            return self._reports(batch)
        except Exception as error:  # recorded; whatever one image does must not stop the others
            if len(batch) == 1:
                return [_failure(batch[0].info.path, error)]
            return [record for one in batch for record in self._captioned([one])]

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

    def _reports(self, batch: Sequence[OpenedImage]) -> Sequence[Report]:
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
                self._tell(self._console, report)
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
        self._tell(console, report)
        return report

    @staticmethod
    def _tell(console: Console, report: Report) -> None:
        """What a policy did, below the caption."""
        for action in report.actions:
            console.print(told(action))

    def _keep(self, records: Sequence[Report | Failure]) -> None:
        if self._record_file is not None and records:
            try:
                self._record_file.write(records)
            except OSError as error:
                raise click.ClickException(
                    f"A report could not be appended to {self._record_file.path}: {error}. The "
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


def _failure(path: str, error: Exception) -> Failure:
    return Failure(image=path, error=type(error).__name__, message=str(error))
