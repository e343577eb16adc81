"""Measure detectors side by side, held against what text alone would know."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  sightline calibrate compare table/                        # 30% of its images held out
  sightline calibrate compare table/ --on test/             # fit on one, measure on another
  sightline calibrate compare table/ --on test/ --on coco/ --detectors svar,prior,fused
  sightline calibrate compare table/ --on test/ --json | jq '.comparisons[0].rows[].auroc'
  sightline calibrate compare table/ --on test/ --update detectors.md

\b
What it shows:
  AUROC and average precision over all mentions and over first mentions; AUROC among first mentions
  at the same place in their captions, where position cannot pass for vision; the lift over a prior
  that sees no image; calibration error; and whether the verdict is there with the token or one
  token later. Intervals redraw whole images.

\b
Markdown:
  --update rewrites what stands between these two lines of a file:
    <!-- sightline: comparison -->
    <!-- sightline: end of comparison -->
"""
)
@click.argument(
    "table", metavar="FIT_TABLE", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--on",
    "on",
    metavar="TABLE",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Measure on this table; may be repeated. By default on images held out of FIT_TABLE.",
)
@click.option("--detectors", metavar="A,B,...", help="Which detectors; by default all.")
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
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the comparison to this file: Markdown (.md) or JSON (.json).",
)
@click.option(
    "--update",
    "readme",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rewrite the marked block of this Markdown file.",
)
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON on stdout.")
def compare(
    *,
    table: Path,
    on: tuple[Path, ...],
    detectors: str | None,
    draws: int,
    jobs: int | None,
    out: Path | None,
    readme: Path | None,
    as_json: bool,
) -> None:
    """Fit detectors on FIT_TABLE, and measure them on images that they have not seen."""
    if out is not None and out.suffix not in (".md", ".json"):
        raise click.UsageError(f"--out must end in .md or .json, was: {out}")

    from rich.console import Console

    from ..reporting import comparison_views as views
    from ..reporting.comparison import compare as fit_and_measure
    from ..reporting.comparison import needed
    from .progress import steps
    from .tables import chosen_detectors, errors_end_the_command, load, processes

    names = chosen_detectors(detectors)
    with errors_end_the_command():
        trial = load(table, on)
        with steps("comparing", 2 * len(needed(names))) as progress:
            found = fit_and_measure(
                trial, names, draws=draws, jobs=processes(jobs), progress=progress
            )
        as_text = json.dumps(views.as_json(found), indent=2, allow_nan=False) + "\n"
        text = views.markdown(found)
        if out is not None:
            views.write_whole(
                out, (text if out.suffix == ".md" else as_text).encode(errors="replace")
            )
        if readme is not None:
            views.update(readme, text)
    if as_json:
        click.echo(as_text, nl=False)
    else:
        console = Console(highlight=False)
        console.print(views.terminal(found, width=console.width))
