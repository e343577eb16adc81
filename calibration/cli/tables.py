"""What the commands on calibration tables share: reading them, and ending well if they are bad."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..reporting.scoring import Trial


@contextmanager
def errors_end_the_command() -> Iterator[None]:
    """What is wrong with a table, a file or the installation is said in a line, without a trace."""
    from ...monitor.errors import SightlineError

    try:
        yield
    except (SightlineError, ValueError, OSError, ImportError) as error:
        raise click.ClickException(str(error)) from error


def load(table: Path, on: Sequence[Path]) -> Trial:
    """The tables to fit on and to ask about.

    Raises:
        ValueError: they cannot be used; the message says why.
    """
    from ..collecting.table import CalibrationTable
    from ..reporting.scoring import Trial

    return Trial.of(CalibrationTable.load(table), [CalibrationTable.load(path) for path in on])


def chosen_detectors(wanted: str | None) -> tuple[str, ...]:
    """The detectors that the command line names; by default all there are."""
    from ...detectors.named import DETECTORS

    if wanted is None:
        return tuple(DETECTORS)
    names = tuple(dict.fromkeys(name.strip() for name in wanted.split(",") if name.strip()))
    unknown = [name for name in names if name not in DETECTORS]
    if unknown or not names:
        raise click.UsageError(
            f"--detectors must name some of {', '.join(DETECTORS)}, was: {wanted!r}."
        )
    return names


def processes(jobs: int | None) -> int:
    """As many as asked for, or as there are cores that this process may use."""
    from joblib import cpu_count

    return int(cpu_count()) if jobs is None else jobs
