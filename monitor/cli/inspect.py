"""Look again at captions in a file of reports: where each noun looked, and what patches read as."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .options import calibration_option, device_option


@click.command(
    epilog="""\b
Examples:
  sightline caption photos/ --out reports.jsonl
  sightline inspect reports.jsonl --out inspected.jsonl
  sightline report inspected.jsonl --out page.html
  sightline inspect reports.jsonl --model my-model/ --images /mnt/photos --out inspected.jsonl
  sightline inspect reports.jsonl --no-lens | jq '.mentions[] | [.word, .inside.profile]'

\b
Output:
  Every line again, in order, with "inside" filled in: for each noun its attention to the image
  layer by layer, and where in the picture that attention and the logit lens find it; for the
  picture, what each of its tokens reads as. One pass of the model a caption; nothing is written
  anew.
  Lines of images that failed pass through, and reports that have it all. So does, as it was, a
  report that cannot be inspected; the reason goes to stderr.
  The same command takes up a job that was killed.

\b
Exit codes:
  0    every report was inspected
  1    none was, or nothing could be written
  2    the command line is wrong
  3    some were inspected and others not
  130  interrupted; finished lines are kept
"""
)
@click.argument("reports", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model",
    metavar="NAME_OR_FOLDER",
    help="The model that wrote the captions, where it is now; by default what the first report "
    "calls it.",
)
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Folder that relative image paths start from; by default the present one.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append the lines to this file, and go on where it ends; by default stdout.",
)
@click.option(
    "--prompt", help="What the model was asked, where that cannot be found out from the reports."
)
@click.option(
    "--lens/--no-lens",
    default=True,
    show_default=True,
    help="Read the picture's tokens through the model's output head, in every layer.",
)
@calibration_option
@device_option
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Refuse larger images; 64,000,000 by default.",
)
@click.pass_context
def inspect(
    ctx: click.Context,
    *,
    reports: Path,
    model: str | None,
    images: Path,
    out: Path | None,
    prompt: str | None,
    lens: bool,
    calibration: Path | None,
    device: str | None,
    max_pixels: int | None,
) -> None:
    """Look again at the captions in REPORTS, the lines that `sightline caption --out` wrote."""
    from contextlib import ExitStack

    from rich.console import Console

    from ..errors import InputError
    from ..models.images import MAX_PIXELS
    from ..report import Report
    from .caption import load_monitor
    from .inspection import InspectionRun, lines
    from .records import RecordFile

    if out is None and sys.stdout.isatty():
        raise click.UsageError("These lines are no sight for a terminal: give --out FILE.")
    if out is not None and out.exists() and out.samefile(reports):
        raise click.UsageError(f"{out} is what is read. Give another --out.")
    with ExitStack() as stack:
        try:
            file = None if out is None else stack.enter_context(RecordFile(out))
            written = (one.model.name for _, one in lines(reports) if isinstance(one, Report))
            # Without any report there are only failures, to pass through.
            name = model or next(written, "small")
            run = InspectionRun(
                monitor=load_monitor(name, device=device, calibration=calibration),
                named=model is not None,
                images=images,
                record_file=file,
                log=Console(stderr=True, highlight=False),
                question=prompt,
                lens=lens,
                max_pixels=max_pixels or MAX_PIXELS,
            )
            code = run.all(reports)
        except InputError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(f"{out} cannot be written: {error}") from error
        ctx.exit(code)
