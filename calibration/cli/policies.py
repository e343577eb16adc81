"""Try ways to caption images, and hold them against greedy decoding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...monitor.cli.options import (
    calibration_option,
    device_option,
    lexicon_option,
    max_new_tokens_option,
    model_option,
    prompt_option,
)
from .options import annotations_option, limit_option

if TYPE_CHECKING:
    from rich.console import Console

    from ...monitor.session import Monitor
    from ..policies.loading import Loading
    from ..policies.outcomefile import Trial
    from ..policies.ways import Way


@click.command(
    epilog="""\b
Examples:
  sightline scenes render --split development --n 300 --out scenes/
  sightline evaluate policies --images scenes/ --annotations scenes/instances.json \\
    --out outcomes.jsonl --workers 4 --figure frontier.png
\b
  sightline evaluate policies --out outcomes.jsonl                 # again, from the file alone
  sightline evaluate policies --out outcomes.jsonl --update policies.md --all
  sightline evaluate policies --out outcomes.jsonl --json | jq '.rows[] | [.way, .misses]'

\b
Policies of your own, beside greedy decoding and whatever else is tried:
  echo '[{"name": "mine", "act": "stop", "threshold": 0.35, "more": 1},
         {"act": "redecode", "tries": [{"alpha": 2.0}], "threshold": 0.4}]' > mine.json
  sightline evaluate policies ... --ways mine.json --only --out mine.jsonl

\b
What it tries by default:
  greedy decoding, watched and not; Eq. 4 of the paper always on; the first k sentences; dropping
  flagged sentences afterwards; policies that stop, drop and write again at several thresholds; and
  policies that act on mentions drawn at random, as often as the detector makes them act.
  All ways of an image run right after each other, so that their seconds can be compared.

\b
Stopped at any moment, by whatever, the same command continues where it was.

\b
Markdown:
  --update rewrites what stands between these two lines of a file:
    <!-- sightline: policies -->
    <!-- sightline: end of policies -->
"""
)
@model_option
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of images that nothing was fitted or chosen on; not needed once all is tried.",
)
@annotations_option(required=False)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The outcomes, one JSON line each: a new file, or one to continue or to look at.",
)
@click.option(
    "--ways",
    "given",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON list of policies to try too.",
)
@click.option("--only", is_flag=True, help="Nothing beside --ways but greedy decoding.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes, one thread each.",
)
@limit_option
@prompt_option
@max_new_tokens_option
@calibration_option
@click.option("--allow-other-model", is_flag=True, help="Use a calibration made on other weights.")
@lexicon_option
@device_option
@click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw CHAIR_I against recall of all ways into this file: .png or .svg.",
)
@click.option(
    "--update",
    "readme",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rewrite the marked block of this Markdown file.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All ways in the table, also those that are there for the figure's curves.",
)
@click.option("--json", "as_json", is_flag=True, help="All figures of all ways as JSON on stdout.")
@click.pass_context
def policies(
    ctx: click.Context,
    *,
    model: str,
    images: Path | None,
    annotations: Path | None,
    out: Path,
    given: Path | None,
    only: bool,
    workers: int,
    limit: int | None,
    prompt: str | None,
    max_new_tokens: int,
    calibration: Path | None,
    allow_other_model: bool,
    lexicon: str | None,
    device: str | None,
    figure: Path | None,
    readme: Path | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Caption images in many ways, and compare what is made up, what is lost and what it costs."""
    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise click.UsageError(f"--figure must end in .png or .svg, was: {figure}")
    if only and given is None:
        raise click.UsageError("--only leaves nothing to try without --ways.")
    if (images is None) != (annotations is None):
        raise click.UsageError("--images and --annotations belong together: give both, or neither.")

    from rich.console import Console

    from ..policies import views
    from ..policies.comparison import compare_ways
    from ..policies.frontier import Frontier
    from ..policies.loading import Loading
    from ..policies.outcomefile import Trial
    from ..reporting.comparison_views import update, write_whole
    from ..reporting.figures.style import require_matplotlib
    from .tables import errors_end_the_command

    log = Console(stderr=True, highlight=False)
    try:
        with errors_end_the_command():
            if figure is not None:
                require_matplotlib()
            if images is None or annotations is None:
                trial = Trial.load(out)
                _check_complete(trial, out)
            else:
                loading = Loading(model, device, lexicon, calibration, allow_other_model)
                trial = _tried(
                    loading,
                    images=images,
                    annotations=annotations,
                    out=out,
                    given=given,
                    only=only,
                    workers=workers,
                    limit=limit,
                    prompt=prompt,
                    max_new_tokens=max_new_tokens,
                    log=log,
                )
            compared = compare_ways(trial)
            shown = views.all_listed(compared) if everything else compared
            if figure is not None:
                picture = Frontier.of(compared)
                write_whole(figure, picture.png() if figure.suffix == ".png" else picture.svg())
            if readme is not None:
                update(readme, views.markdown(shown), begin=views.BEGIN, end=views.END)
    except KeyboardInterrupt:
        log.print("Interrupted; what is tried is kept. The same command continues.", style="red")
        ctx.exit(130)
    for bad in trial.unreadable:
        log.print(f"{bad.image}: {bad.error}", style="red", markup=False)
    if as_json:
        click.echo(json.dumps(views.as_json(compared), indent=2, allow_nan=False))
    else:
        console = Console(highlight=False)
        console.print(views.terminal(shown, width=console.width))


def _tried(
    loading: Loading,
    *,
    images: Path,
    annotations: Path,
    out: Path,
    given: Path | None,
    only: bool,
    workers: int,
    limit: int | None,
    prompt: str | None,
    max_new_tokens: int,
    log: Console,
) -> Trial:
    """Try what is not in the file yet; with a bar on a terminal."""
    from ...monitor.models.prompts import DEFAULT_PROMPT
    from ..collecting.sources import find_sources
    from ..objects.annotations import Annotations
    from ..policies.trials import run_ways, subjects
    from ..policies.writing import Asked
    from .progress import counted

    own = None if given is None else _given(given)
    monitor = loading()
    known = Annotations.load(annotations, monitor.lexicon)
    chosen = subjects(find_sources(images, known)[:limit], known)
    for limitation in monitor.limits:
        log.print(f"Warning: {limitation}", style="yellow", markup=False)
    with counted("images", log) as progress:
        return run_ways(
            monitor,
            _ways(monitor, own, only=only),
            chosen,
            out,
            asked=Asked(
                prompt=DEFAULT_PROMPT if prompt is None else prompt,
                max_new_tokens=max_new_tokens,
            ),
            annotations=known.sha256,
            workers=workers,
            load=loading,
            on_image=progress,
        )


def _given(path: Path) -> tuple[Way, ...]:
    from ..policies.ways import ways_from_json

    try:
        return ways_from_json(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _ways(monitor: Monitor, own: tuple[Way, ...] | None, *, only: bool) -> tuple[Way, ...]:
    """The default ways and the user's, or greedy decoding and the user's alone."""
    from ...detectors.svar import LayerRange
    from ..policies.defaults import default_ways
    from ..policies.ways import Plain, Watched

    # Not where SVAR is summed: a calibration may have chosen a single layer for that.
    depth = monitor.anatomy.num_layers
    layers = LayerRange.published(monitor.name, depth) or LayerRange.scaled(depth)
    first = (Plain(), Watched()) if only else default_ways(monitor.calibration, layers)
    mine = own or ()
    # A default way that the user names as well is the user's.
    names = {way.name for way in mine}
    return (*(way for way in first if way.name not in names), *mine)


def _check_complete(trial: Trial, out: Path) -> None:
    if not trial.complete:
        images = trial.header.images
        raise ValueError(
            f"{out} must hold a complete trial, of {len(trial.header.ways)} ways on {images:,} "
            f"images it holds {len(trial.outcomes):,} outcomes. Give --images and --annotations "
            f"again to go on."
        )
