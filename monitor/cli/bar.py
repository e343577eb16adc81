"""A progress bar for long jobs: how fast, and how much longer. On terminals alone."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text


class Bar:
    """A bar below whatever else the console prints.

    Args:
        console: a terminal, or anything else, which gets no bar.
        total: images of the job.
        there: images that were done before.
        shown: whether there is to be one at all.

    Attributes:
        shown: whether there is one.
    """

    def __init__(self, console: Console, total: int, there: int, *, shown: bool) -> None:
        self.shown = shown and console.is_terminal and total > 1
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self.shown,
        )
        self._task = self._progress.add_task("", total=total, completed=there)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """One image more."""
        self._progress.advance(self._task)


class _Speed(ProgressColumn):
    """Images per second, or seconds per image where they are slow."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} images/s" if speed >= 1 else f"{1 / speed:.1f} s/image")
