"""Finished records on their way to a file, a pipe and the terminal, whoever made them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Final, TextIO

import click
from rich.console import Console

from ..jobs.retries import Retries
from ..report import Failure, Report
from .bar import Bar
from .calibration import Cautions
from .records import RecordFile

ALL: Final = 0
NOTHING: Final = 1
SOME: Final = 3
INTERRUPTED: Final = 130


class Keeper:
    """Keeps records as they come, tells of them, and knows in the end how the job went.

    Args:
        record_file: open, where records are appended; ``None`` to append them nowhere.
        console: a terminal that shows captions, which is the captioner's part; ``None`` to print
            JSON lines instead.
        log: where progress goes.
        retries: of writes that fail in a way that passes.
        out: where JSON lines are printed; by default on what is stdout by then.
    """

    def __init__(
        self,
        *,
        record_file: RecordFile | None,
        console: Console | None,
        log: Console,
        retries: Retries,
        out: TextIO | None = None,
    ) -> None:
        self.log = log
        self._record_file = record_file
        self._console = console
        self._retries = retries
        self._out = out
        self._cautions = Cautions()
        self._there = 0
        self._done = 0
        self._failed = 0
        self._total = 0
        self._bar: Bar | None = None

    def warn(self, limits: Collection[str]) -> None:
        """Say what must be known of the verdicts, each thing once in a job."""
        for line in self._cautions.new(limits):
            self.log.print(line)

    def all(self, finished: Iterable[Sequence[Report | Failure]], *, total: int, there: int) -> int:
        """Keep all that is finished, as soon as it is; the exit code that tells how it went.

        Args:
            finished: new records, in the order in which they are kept.
            total: images of the job.
            there: images whose records were kept before.

        Raises:
            click.ClickException: a record cannot be written.
        """
        self._total, self._there = total, there
        if there:
            path = self._record_file.path if self._record_file is not None else ""
            self.log.print(f"{there} of {total} are in {path} already.", markup=False)
        out = sys.stdout if self._out is None else self._out
        try:
            with Bar(self.log, total, there, shown=self._console is None) as self._bar:
                for records in finished:
                    self._keep(records, out)
                    for record in records:
                        self._tell_of(record)
        except KeyboardInterrupt:
            self.log.print(f"Interrupted; {self._done} finished reports are kept.", style="red")
            return INTERRUPTED
        if self._failed:
            self.log.print(f"{self._failed} of {total} images failed.", style="red")
        if not self._done and not there:
            return NOTHING
        return SOME if self._failed else ALL

    def _keep(self, records: Sequence[Report | Failure], out: TextIO) -> None:
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
                click.echo(record.to_json(), file=out)

    def _tell_of(self, record: Report | Failure) -> None:
        if isinstance(record, Failure):
            self._failed += 1
            self.log.print(
                f"[{self._count}] {record.image}: {record.error}: {record.message}",
                style="red",
                markup=False,
            )
        else:
            self._done += 1
            if record.calibration != "uncalibrated":
                self.warn(record.calibration.limits)
            self._progress(record)
        if self._bar is not None:
            self._bar.advance()

    def _progress(self, report: Report) -> None:
        shown = self._bar is not None and self._bar.shown
        if self._console is not None or report.image is None or shown:
            return
        seconds = report.timings.total
        took = "" if seconds is None else f", {seconds:.1f} s"
        self.log.print(
            f"[{self._count}] {report.image.path}: {len(report.mentions)} nouns, "
            f"{len(report.tokens)} tokens{took}",
            markup=False,
        )

    @property
    def _count(self) -> str:
        return f"{self._there + self._done + self._failed}/{self._total}"
