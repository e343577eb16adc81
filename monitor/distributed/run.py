"""``sightline caption`` with several workers: the same job, the same file, another engine."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ..cli.job import Progress
from ..cli.keeper import Keeper
from ..cli.records import RecordFile
from ..jobs.retries import Retries
from ..report import Failure, Report
from .captioning import Captioning, Introduction
from .cluster import Workers, cluster
from .job import finished


class DistributedRun:
    """Captions files with several workers and keeps every report as soon as its turn comes.

    Args:
        captioning: how captions are made.
        workers: how many, and what each needs.
        address: of the cluster, see :func:`~sightline.monitor.distributed.cluster.cluster`.
        record_file: open, where reports are appended; ``None`` to append them nowhere. Images that
            have their record there are not captioned again.
        log: where progress goes.
    """

    def __init__(
        self,
        captioning: Captioning,
        *,
        workers: Workers,
        address: str | None,
        record_file: RecordFile | None,
        log: Console,
    ) -> None:
        if captioning.device is None and workers.gpus:
            captioning = replace(captioning, device="cuda")
        self._captioning = captioning
        self._workers = workers
        self._address = address
        self._record_file = record_file
        self._log = log

    def all(self, files: Sequence[Path], *, batch_size: int = 1) -> int:
        """Caption every file that has no record yet; the exit code that tells how it went.

        Raises:
            SightlineError: the file of reports was made in another way, the model cannot be had,
                there is no cluster, or its workers die again and again.
            click.ClickException: a report cannot be written.
        """
        file = self._record_file
        done = bytes(len(files))
        if file is not None:
            done = Progress.of(file.read(), None, file.path).flags(files)
        keeper = Keeper(
            record_file=file,
            console=None,
            log=self._log,
            retries=Retries(self._captioning.retries),
            out=sys.stdout,
        )
        # Ray says on stdout what befalls workers; there is room for reports alone.
        with (
            redirect_stdout(sys.stderr),
            closing(self._finished(keeper, files, done, batch_size)) as records,
        ):
            return keeper.all(records, total=len(files), there=sum(done))

    def _finished(
        self, keeper: Keeper, files: Sequence[Path], done: Sequence[int], batch_size: int
    ) -> Generator[Sequence[Report | Failure], None, None]:
        with (
            cluster(self._workers, address=self._address),
            closing(
                finished(
                    files, done, self._captioning, workers=self._workers, batch_size=batch_size
                )
            ) as parts,
        ):
            for part in parts:
                if isinstance(part, Introduction):
                    self._meet(keeper, part)
                    continue
                for size in part.smaller:
                    keeper.log.print(
                        f"Out of memory: batches of {size} for now.", style="yellow", markup=False
                    )
                yield part.records

    def _meet(self, keeper: Keeper, introduction: Introduction) -> None:
        """Before anything is written: is the file one of such captions, and who judges?"""
        file = self._record_file
        if file is not None:
            Progress.of(file.read(), introduction.recipe, file.path)
        if introduction.judge is not None:
            keeper.log.print(introduction.judge, markup=False)
        keeper.warn(introduction.limits)
