"""How far a command is: on the terminal, on stderr, gone when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

_EVERY: Final = 30.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def steps(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar of known length; what it gives is called with the name of each step that is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[last]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(title, total=total, last="")
        yield lambda done: bar.update(task, advance=1, last=done)


@contextmanager
def counted(title: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar over things that take seconds each, in a pipe a line now and then.

    What it gives is called with how many are done, and of how many.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(title, total=None)
        said = time.perf_counter()

        def tell(done: int, of: int) -> None:
            nonlocal said
            bar.update(task, completed=done, total=of)
            if bar.disable and time.perf_counter() - said > _EVERY:
                said = time.perf_counter()
                console.print(f"{done:,} of {of:,} {title}")

        yield tell
