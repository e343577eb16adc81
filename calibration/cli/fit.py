"""Fit a detector on a table, and choose a threshold that keeps a promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from ..fitting.fit import Fitted
    from ..fitting.goal import Goal
    from ..fitting.heldout import HeldOut

NO_THRESHOLD: Final = 4
"""Exit code if no threshold keeps the promise."""

INTERRUPTED: Final = 130


@click.command(
    epilog="""\b
Examples:
  sightline calibrate fit table/ --out artifact/
  sightline calibrate fit table/ --target precision=0.6 --confidence 0.95 --out artifact/
  sightline calibrate fit table/ --detector svar --target false-alarm=0.1 --out artifact/
  sightline calibrate fit table/ --out artifact/ --evaluate other/ --json | jq .guarantee

\b
Targets, the image as the unit:
  recall=0.8       of the images whose captions hallucinate, at least 80% have every
                   hallucinated object flagged
  precision=0.6    in at least 60% of the images with a flag, the most suspicious object
                   is hallucinated
  false-alarm=0.1  at most 10% of the images whose captions are true have a flag

\b
The images are split in three: half of them to fit the detector, a fifth to turn its
score into a probability, the rest for the threshold. The promise holds for flags on
captions as the model writes them; it does not cover what is done about a flag.

\b
Output:
  The artifact, whole or not at all, and what it is worth on images that it was not
  fitted on: for people, or with --json one JSON object.

\b
Exit codes:
  0    the artifact was written
  1    it could not be fitted or written; nothing was
  2    the command line is wrong
  4    no threshold keeps the promise: nothing was written, and why is said; with
       --allow-no-threshold an artifact that scores and never flags, and exit code 0
  130  interrupted; nothing was written
"""
)
@click.argument("table", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--detector",
    metavar="NAME",
    default="fused",
    show_default=True,
    help="What scores the mentions: fused, svar, prior, ...; a wrong name lists them all.",
)
@click.option(
    "--target",
    metavar="NAME=LEVEL",
    default="recall=0.8",
    show_default=True,
    help="What to promise: recall=, precision= or false-alarm=, see below.",
)
@click.option(
    "--confidence",
    type=float,
    default=0.9,
    show_default=True,
    help="Chance that the promise holds, over which images happened to be collected.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the artifact: new, empty, or with an older one to replace.",
)
@click.option(
    "--evaluate",
    "other",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A table of other images, to measure the result on.",
)
@click.option(
    "--allow-no-threshold",
    is_flag=True,
    help="Write the artifact even if no threshold keeps the promise: it then never flags.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split by image.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
@click.pass_context
def fit(
    ctx: click.Context,
    *,
    table: Path,
    detector: str,
    target: str,
    confidence: float,
    out: Path,
    other: Path | None,
    allow_no_threshold: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Fit a detector on a TABLE of labelled mentions, and choose a threshold with a guarantee.

    TABLE is the folder that `sightline calibrate collect` or `merge` wrote.
    """
    from ...detectors.artifact.sealed import DOCUMENT
    from ...detectors.named import detector as named
    from ...monitor.errors import SightlineError
    from ..fitting.goal import Goal
    from ..fitting.guarantee import NoThreshold
    from .fitsummary import record, show

    try:
        goal = Goal.parse(target, confidence=confidence)
        named(detector)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if out.is_dir() and any(out.iterdir()) and not (out / DOCUMENT).is_file():
        raise click.UsageError(
            f"--out must be new, empty or an older artifact to replace; {out} holds something "
            f"else. Choose another folder."
        )
    try:
        fitted, evaluated = _fit(table, detector, goal, other, seed)
        write = allow_no_threshold or not isinstance(fitted.outcome, NoThreshold)
        if write:
            fitted.calibrated.save(out)
    except (ValueError, SightlineError, ImportError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("Interrupted; nothing was written.", err=True)
        ctx.exit(INTERRUPTED)
    saved = out if write else None
    if as_json:
        click.echo(json.dumps(record(fitted, evaluated, saved), allow_nan=False))
    else:
        show(fitted, evaluated, saved)
    if not write:
        click.echo(
            f"{fitted.outcome} Nothing was written; --allow-no-threshold writes an artifact that "
            f"scores and never flags.",
            err=True,
        )
        ctx.exit(NO_THRESHOLD)


def _fit(
    folder: Path, detector: str, goal: Goal, other: Path | None, seed: int
) -> tuple[Fitted, HeldOut | None]:
    """Fit and evaluate, with progress on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ..collecting.table import CalibrationTable
    from ..fitting.fit import STEPS, evaluate
    from ..fitting.fit import fit as fit_table

    columns = (TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("read the table", total=len(STEPS) + 2)

        def begin(step: str) -> None:
            progress.update(task, description=step, advance=1)

        table = CalibrationTable.load(folder)
        fitted = fit_table(table, detector=detector, target=goal, seed=seed, on_step=begin)
        begin("evaluation")
        evaluated = None
        if other is not None:
            evaluated = evaluate(fitted, CalibrationTable.load(other), fitted_on=table)
        progress.advance(task)
    return fitted, evaluated
