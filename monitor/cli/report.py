"""Make a page to look at, or a table, of files of reports."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Final

import click

_FORMATS: Final = ("html", "csv", "spacy", "sarif", "coco")
_SUFFIXES: Final = {".html": "html", ".htm": "html", ".csv": "csv", ".sarif": "sarif"}


@click.command(
    epilog="""\b
Examples:
  sightline caption photos/ --out reports.jsonl
  sightline report reports.jsonl --out page.html
  sightline report greedy.jsonl stop.jsonl --out compared.html
  sightline demo && sightline report reports/ --out demo.html
  sightline report reports.jsonl --out nouns.csv
  sightline report reports.jsonl --format coco --out results.json
  sightline report reports.jsonl --format spacy | head -1 | jq '.spans'

\b
Input:
  Files of one report a line, as `sightline caption --out` writes them; single reports, as
  `sightline demo` writes them; folders of either; "-" for stdin. Where several files are about
  the same images, the page has each image's captions side by side. Reports that went through
  `sightline inspect` show where each noun looked, layer by layer, and what each patch reads as.

\b
Formats:
  html    one page that needs no network: images, captions, scores, what a policy did
  csv     a line for each noun
  spacy   a spaCy Doc as JSON for each caption, its nouns as spans
  sarif   the flagged objects as findings (SARIF 2.1.0)
  coco    captions as a COCO results file; file names end in the image's number

\b
Exit codes:
  0    written
  1    it cannot be written, or something is no report
  2    the command line is wrong
"""
)
@click.argument(
    "reports",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to; by default stdout."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="By default what the name of --out says, else html.",
)
@click.option("--title", default="Captions", show_default=True, help="What the page is called.")
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Folder that relative image paths start from; by default the present one.",
)
def report(
    reports: tuple[Path, ...], out: Path | None, form: str | None, title: str, images: Path
) -> None:
    """Make a page to look at of REPORTS, or a table."""
    from rich.console import Console
    from rich.progress import Progress

    from ..errors import SightlineError
    from ..exports.coco import coco
    from ..exports.docs import docs
    from ..exports.sarif import sarif
    from ..exports.spreadsheet import spreadsheet
    from ..page.page import Captions, page_of
    from .sources import sources

    form = form or _SUFFIXES.get(out.suffix.lower() if out is not None else "", "html")
    if out is None and form == "html" and sys.stdout.isatty():
        raise click.UsageError("A page is no sight for a terminal: give --out page.html.")
    console = Console(stderr=True)
    try:
        found = sources(reports)
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(form, total=sum(one.count for one in found))
            parts = [
                Captions(one.records(lambda: progress.advance(task)), one.count, one.name)
                for one in found
            ]
            records = chain.from_iterable(part.records for part in parts)
            match form:
                case "csv":
                    pieces = spreadsheet(records)
                case "spacy":
                    pieces = docs(records)
                case "sarif":
                    pieces = sarif(records)
                case "coco":
                    pieces = coco(records)
                case _:
                    pieces = page_of(parts, title=title, base=images)
            _write(out, pieces)
    except BrokenPipeError:
        raise  # the reader has seen enough: click ends quietly
    except (SightlineError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if out is not None:
        size = out.stat().st_size / 1e6
        console.print(f"Wrote {out} ({size:.1f} MB).", highlight=False, markup=False)


def _write(out: Path | None, pieces: Iterable[str]) -> None:
    """Write the pieces to stdout, or to a file that appears whole or not at all."""
    if out is None:
        for piece in pieces:
            click.echo(piece, nl=False)
        return
    draft = out.with_name(out.name + ".part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
        draft.replace(out)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
