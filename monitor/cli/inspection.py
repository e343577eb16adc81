"""A job that looks again at the captions of a file: line after line, and each is kept at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console

from ..attention.lens import has_lens
from ..errors import InputError, SightlineError
from ..inspection import inspect
from ..inspection.bands import bands_of
from ..models.images import open_image
from ..report import Failure, Report, parse_record
from ..session import Monitor
from .bar import Bar
from .keeper import ALL, INTERRUPTED, NOTHING, SOME
from .records import RecordFile


class InspectionRun:
    """Inspects the reports of a file. There is one line out for each line in, in order.

    Args:
        monitor: of the model that wrote the captions.
        named: whether the user named that model: it may then be called otherwise in the reports.
        images: folder that relative image paths start from.
        record_file: open, where lines are appended; ``None`` to print them on stdout.
        log: where progress and errors go.
        question: what the model was asked, if the user said so.
        lens: whether to read the image tokens through the output head.
        max_pixels: the largest image that is opened.
    """

    def __init__(
        self,
        *,
        monitor: Monitor,
        named: bool,
        images: Path,
        record_file: RecordFile | None,
        log: Console,
        question: str | None,
        lens: bool,
        max_pixels: int,
    ) -> None:
        self._monitor = monitor
        self._named = named
        self._images = images
        self._record_file = record_file
        self._log = log
        self._question = question
        self._lens = lens and has_lens(monitor.anatomy)
        self._usual = bands_of(monitor.calibration) is not None
        self._max_pixels = max_pixels
        self._done = 0
        self._failed = 0
        if lens and not self._lens:
            log.print(
                f"Without the lens: {monitor.name} does not say where its output head is.",
                style="yellow",
            )

    def all(self, reports: Path) -> int:
        """Inspect what was not inspected yet; the exit code that tells how it went.

        Raises:
            InputError: a line is no report, or the lines that are there are of another file.
            click.ClickException: a line cannot be written.
        """
        total = sum(1 for _ in RecordFile(reports).read())
        there = self._there(reports)
        if there and self._record_file is not None:
            self._log.print(
                f"{there} of {total} are in {self._record_file.path} already.", markup=False
            )
        try:
            with Bar(self._log, total, there, shown=True) as bar:
                for number, record in islice(lines(reports), there, None):
                    self._keep(self._inspected(record, f"[{number}/{total}]"))
                    bar.advance()
        except KeyboardInterrupt:
            self._log.print(f"Interrupted; {self._done} inspected reports are kept.", style="red")
            return INTERRUPTED
        self._log.print(f"Inspected {self._done} captions.")
        if self._failed:
            self._log.print(f"{self._failed} of {total} could not be inspected.", style="red")
            return SOME if self._done or there else NOTHING
        return ALL

    def _there(self, reports: Path) -> int:
        """How many lines are done, if they are the first of this very file."""
        file = self._record_file
        if file is None:
            return 0
        given, there = RecordFile(reports).read(), 0
        for there, record in enumerate(file.read(), start=1):
            if _key(record) != _key(next(given, {})):
                raise InputError(
                    f"To go on with {file.path}, its lines must be those of {reports}, in order; "
                    f"line {there} is another's. Give another --out."
                )
        return there

    def _inspected(self, record: Report | Failure, count: str) -> Report | Failure:
        if isinstance(record, Failure) or self._known(record):
            return record
        try:
            found = self._inspect(record)
        except Exception as error:  # told; whatever one image does must not stop the others
            self._failed += 1
            kind = "" if isinstance(error, SightlineError) else f"{type(error).__name__}: "
            path = "" if record.image is None else f"{record.image.path}: "
            self._log.print(f"{count} {path}{kind}{error}", style="red", markup=False)
            return record
        self._done += 1
        return found

    def _known(self, report: Report) -> bool:
        """Whether a report has all that could be found out."""
        inside = report.inside
        return (
            inside is not None
            and (inside.reads is not None or not self._lens)
            and (inside.bands is not None or not self._usual)
        )

    def _inspect(self, report: Report) -> Report:
        if not self._named and report.model.name != self._monitor.name:
            raise InputError(
                f"A caption can be looked at again by the model that wrote it, "
                f"{report.model.name}, and not by {self._monitor.name}. Inspect the reports of "
                f"each model on their own, or name the model where it is now (--model)."
            )
        if report.image is None:
            raise InputError(
                "The report must say which picture it is of, and says nothing. Caption files "
                "(sightline caption), or inspect it where the picture is at hand "
                "(sightline.monitor.inspection)."
            )
        opened = open_image(self._images / report.image.path, max_pixels=self._max_pixels)
        return inspect(
            self._monitor, report, opened.image, lens=self._lens, question=self._question
        )

    def _keep(self, record: Report | Failure) -> None:
        if self._record_file is None:
            click.echo(record.to_json())
            return
        try:
            self._record_file.write([record])
        except OSError as error:
            raise click.ClickException(
                f"A line could not be appended to {self._record_file.path}: {error}. Those before "
                f"it are kept; the same command goes on from there."
            ) from error


def lines(reports: Path) -> Iterator[tuple[int, Report | Failure]]:
    """The records of a file by the number of their line, from 1.

    Raises:
        InputError: a line is no record.
    """
    with reports.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield number, parse_record(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise InputError(
                    f"Every line must be a report of `sightline caption`; line {number} of "
                    f"{reports} is none ({where + ': ' if where else ''}{first['msg']}). Remove "
                    f"it, or write the reports again."
                ) from error


def _key(record: Mapping[str, Any]) -> tuple[object, ...]:
    """What a record has in common with what was made of it, and with hardly another."""
    image = record.get("image")
    path = image.get("path") if isinstance(image, dict) else image
    return record.get("kind"), path, record.get("prompt"), str(record.get("timings"))
