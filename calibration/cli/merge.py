"""Make one calibration table of several, such as the shards of one collection."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  sightline calibrate merge shard1/ shard2/ --out table/

\b
The tables must come of the same model, question, decoding options, lexicon and annotations, and no
image may be in two of them. What may be missing is said, and does not stop the merge.
"""
)
@click.argument(
    "tables",
    metavar="TABLE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A new or empty folder.",
)
def merge(tables: tuple[Path, ...], out: Path) -> None:
    """Make one calibration table of several."""
    from rich.console import Console

    from ...monitor.errors import SightlineError
    from ..collecting.merge import merge as join

    log = Console(stderr=True, highlight=False)
    try:
        merged = join(tables, out)
    except (SightlineError, OSError) as error:
        raise click.ClickException(str(error)) from error
    log.print(
        f"{merged.images:,} images with {merged.mentions:,} object mentions from "
        f"{len(tables)} tables."
    )
    for doubt in merged.doubts:
        log.print(f"Warning: {doubt}", style="yellow", markup=False)
    click.echo(str(out))
