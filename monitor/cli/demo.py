"""Caption the sample images with the small model, and show what it saw."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  sightline demo
  sightline demo --out my-reports --max-new-tokens 40

\b
Exit codes: 0 done, 1 nothing could be shown, 2 the command line is wrong.
"""
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="Folder for the JSON reports.",
)
@click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Cut captions at this length.",
)
@click.option(
    "--count", type=click.IntRange(min=1), help="How many of the sample images; all by default."
)
def demo(out: Path, max_new_tokens: int, count: int | None) -> None:
    """Caption sample images with the small model that ships with sightline.

    Nothing is downloaded. The captions appear as they are written, their objects coloured by how
    likely they are made up, and those past the threshold flagged; the reports go to a folder, one
    JSON file per image.
    """
    from rich.console import Console

    from ..models.images import open_image
    from ..models.samples import sample_images
    from .calibration import Cautions, introduction
    from .caption import load_monitor
    from .records import write_report
    from .terminal import LiveCaption, legend, summary

    console = Console(highlight=False)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"The folder {out} cannot be made: {error}") from error
    monitor = load_monitor("small")
    judge = monitor.calibration
    if judge is not None:
        console.print(introduction(judge))
    cautions = Cautions()
    for line in cautions.new(monitor.limits):
        console.print(line)
    console.print()
    console.print(legend(None if judge is None else judge.kind))
    rows = []
    for path in sample_images()[:count]:
        opened = open_image(path)
        inputs = monitor.prepare([opened.image])
        console.print()
        console.print(path.name, style="bold")
        stream = monitor.stream(**inputs, images=[opened.info], max_new_tokens=max_new_tokens)
        with stream, LiveCaption(console) as live:
            for event in stream:
                live.add(event)
        report = stream.watch.reports[0]
        target = out / f"{path.stem}.json"
        try:
            write_report(target, report)
        except OSError as error:
            raise click.ClickException(f"{target} could not be written: {error}") from error
        if report.calibration != "uncalibrated":
            for line in cautions.new(report.calibration.limits):
                console.print(line)
        rows.append((path.name, report))
    console.print()
    console.print(summary(rows))
    console.print()
    console.print(f"Reports: {out.resolve()} ({len(rows)} JSON files)", soft_wrap=True)
