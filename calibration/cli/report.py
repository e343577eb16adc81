"""Draw up what a table, its detectors and a calibration are worth: one page, with figures."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  sightline calibrate report table/ --out report/
  sightline calibrate report table/ --on test/ --out report/
  sightline calibrate report table/ --on test/ --artifact artifact/ --out report/
  sightline calibrate report table/ --out report/ --json | jq '.figures.reliability.numbers.error'

\b
What it writes:
  report/index.html      everything on one page that needs nothing else
  report/var-heads.png   attention to the image, layers by heads, real and hallucinated
  report/contributions.png, svar.png, layer-ranges.png, curves.png, reliability.png, positions.png

\b
Without --on, 30% of the images of TABLE are held out, and all figures are of these. With
--artifact, probabilities and thresholds are the artifact's; else those of the fused detector,
fitted on TABLE.
"""
)
@click.argument("table", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--on",
    "on",
    metavar="TABLE",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Measure on this table; by default on images held out of the first.",
)
@click.option(
    "--artifact",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A calibration that `sightline calibrate fit` wrote, to show what it is worth.",
)
@click.option("--detectors", metavar="A,B,...", help="Which to compare; by default all.")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the page and the pictures; made if it is not there.",
)
@click.option(
    "--draws",
    type=click.IntRange(min=20),
    default=400,
    show_default=True,
    help="Redraws of images for the intervals.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Processes; by default one for each free core."
)
@click.option("--json", "as_json", is_flag=True, help="The numbers behind every figure on stdout.")
def report(
    *,
    table: Path,
    on: Path | None,
    artifact: Path | None,
    detectors: str | None,
    out: Path,
    draws: int,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Show what a TABLE holds, and what detectors make of images they have not seen."""
    from rich.console import Console

    from ...detectors.calibrated import CalibratedDetector
    from ..collecting.table import CalibrationTable
    from ..reporting.account import account, steps
    from ..reporting.comparison_views import terminal, write_whole
    from ..reporting.figures.figure import Figure
    from ..reporting.figures.style import require_matplotlib
    from ..reporting.page import page
    from . import progress as bars
    from .tables import chosen_detectors, errors_end_the_command, processes

    names = chosen_detectors(detectors)
    with errors_end_the_command():
        require_matplotlib()
        calibrated = None if artifact is None else CalibratedDetector.load(artifact)
        fit_on = CalibrationTable.load(table)
        ask = None if on is None else CalibrationTable.load(on)
        with bars.steps("reporting", steps(names, artifact=artifact is not None)) as progress:
            found = account(
                fit_on,
                ask,
                names,
                calibrated=calibrated,
                draws=draws,
                jobs=processes(jobs),
                progress=progress,
            )
            pictures = {one.name: one.png() for one in found.figures if isinstance(one, Figure)}
        out.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            write_whole(out / f"{name}.png", picture)
        write_whole(out / "index.html", page(found, pictures).encode(errors="replace"))
    if as_json:
        click.echo(json.dumps(found.numbers(), allow_nan=False))
        return
    console = Console(highlight=False)
    console.print(terminal([found.comparison], width=console.width))
    Console(stderr=True).print(f"Written: {out / 'index.html'}", highlight=False, markup=False)
