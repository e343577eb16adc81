"""Captioning one file after another: what fails, fails alone, and what is finished is kept."""

from __future__ import annotations

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
from .calibration import Cautions, introduction
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
        record_file: open, where reports are appended; ``None`` to append them nowhere.
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
        self._done = 0
        self._failed = 0
        self._total = 0

    def all(self, files: Sequence[Path], *, batch_size: int = 1) -> int:
        """Caption every file; the exit code that tells how it went.

        Raises:
            click.ClickException: a report cannot be written.
        """
        self._total = len(files)
        self._introduce()
        waiting: list[OpenedImage] = []
        try:
            for path in files:
                opened = self._open(path)
                if opened is not None:
                    waiting.append(opened)
                if len(waiting) == batch_size:
                    self._caption(waiting)
                    waiting = []
            self._caption(waiting)
        except KeyboardInterrupt:
            self._log.print(f"Interrupted; {self._done} finished reports are kept.", style="red")
            return INTERRUPTED
        if self._failed:
            self._log.print(f"{self._failed} of {self._total} images failed.", style="red")
        if not self._done:
            return NOTHING
        return SOME if self._failed else ALL

    def _introduce(self) -> None:
        """Say once who judges, and what must be known of it."""
        if self._monitor.calibration is not None:
            promise = promise_of(self._monitor.calibration, self._policy)
            self._log.print(introduction(self._monitor.calibration, promise))
        for line in self._cautions.new(self._monitor.limits):
            self._log.print(line)

    def _open(self, path: Path) -> OpenedImage | None:
        try:
            return open_image(path, max_pixels=self._max_pixels)
        except ImageError as error:
            self._fail(str(path), error)
            return None

    def _caption(self, batch: Sequence[OpenedImage]) -> None:
        if not batch:
            return
        try:
            reports = self._reports(batch)
        except Exception as error:  # recorded; whatever one image does must not stop the others
            if len(batch) > 1:
                for one in batch:
                    self._caption([one])
            else:
                self._fail(batch[0].info.path, error)
            return
        for report in reports:
            self._done += 1
            self._keep(report)
            if report.calibration != "uncalibrated":
                for line in self._cautions.new(report.calibration.limits):
                    self._log.print(line)
            self._progress(report)

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

    def _keep(self, record: Report | Failure) -> None:
        if self._record_file is not None:
            try:
                self._record_file.write(record)
            except OSError as error:
                raise click.ClickException(
                    f"A report could not be appended to {self._record_file.path}: {error}. The "
                    f"{self._done + self._failed - 1} before it are kept."
                ) from error
        if self._console is None:
            click.echo(record.to_json())

    def _fail(self, path: str, error: Exception) -> None:
        self._failed += 1
        self._keep(Failure(image=path, error=type(error).__name__, message=str(error)))
        self._log.print(
            f"[{self._count}] {path}: {type(error).__name__}: {error}", style="red", markup=False
        )

    def _progress(self, report: Report) -> None:
        if self._console is not None or report.image is None:
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
        return f"{self._done + self._failed}/{self._total}"
