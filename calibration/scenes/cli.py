"""``sightline scenes``: draw the small world, train the model that tells of it, measure it."""

from __future__ import annotations

from pathlib import Path

import click

_WORKERS = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Processes, one thread each.",
)


@click.group()
def scenes() -> None:
    """The small world: pictures whose content is known exactly, and a model that tells of them."""


@scenes.command(
    epilog="""\b
Examples:
  sightline scenes render --split test --n 500 --out scenes/
  sightline scenes render --seed 31000000 --n 20 --out more/

\b
The folder gets SEED.png for each scene and instances.json in COCO format, whole or not at all.
"""
)
@click.option("--split", help="train, calibration, development, test or samples.")
@click.option("--seed", type=int, help="First scene seed, instead of a split.")
@click.option("--n", "count", type=int, default=100, show_default=True, help="How many scenes.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="A folder, new or empty."
)
def render(split: str | None, seed: int | None, count: int, out: Path) -> None:
    """Draw scenes with their annotations in COCO format."""
    from rich.console import Console
    from rich.progress import Progress

    from .coco import export
    from .seeds import seeds, split_of

    if (split is None) == (seed is None):
        raise click.UsageError(f"give --split or --seed, one of them; were: {split} and {seed}")
    try:
        if seed is not None:
            held = split_of(seed)
            first = seeds(held, 1)[0]
            chosen = seeds(held, count, start=seed - first)
        else:
            assert split is not None
            chosen = seeds(split, count)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("draw", total=count)
        try:
            annotations = export(chosen, out, on_scene=lambda: progress.advance(task))
        except OSError as error:
            raise click.ClickException(f"nothing was written: {error}") from error
    click.echo(annotations)


_SCENES = click.argument(
    "folder", metavar="SCENES", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
_QUESTIONS = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="A folder."
)


@scenes.command(
    epilog="""\b
Examples:
  sightline scenes render --split development --n 100 --out scenes/
  sightline scenes pope scenes/ --out pope/
  sightline evaluate pope pope/*.json --images scenes/
"""
)
@_SCENES
@_QUESTIONS
def pope(folder: Path, out: Path) -> None:
    """Ask whether objects are in SCENES, in POPE's format: random, popular, adversarial."""
    from .known import known_scenes
    from .polling import write_pope

    try:
        paths = write_pope(known_scenes(folder), out)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(map(str, paths)))


@scenes.command(
    epilog="""\b
Examples:
  sightline scenes render --split development --n 100 --out scenes/
  sightline scenes amber scenes/ --out amber/data/
  sightline evaluate amber --data amber/data/ --images scenes/
"""
)
@_SCENES
@_QUESTIONS
def amber(folder: Path, out: Path) -> None:
    """Have SCENES described, and ask about them, in AMBER's format."""
    from .amber import write_amber
    from .known import known_scenes

    try:
        click.echo(write_amber(known_scenes(folder), out))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


@scenes.command(
    epilog="""\b
Examples:
  sightline scenes train --out runs/small
  sightline scenes train --out runs/small --workers 4

\b
Interrupted, the same command goes on where it was. The checkpoint is in DIR/model.
"""
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@_WORKERS
@click.option("--evaluate/--no-evaluate", default=True, help="Write the model card in the end.")
@click.option("--rehearse", is_flag=True, help="Every stage in seconds; what comes out is useless.")
def train(out: Path, workers: int, evaluate: bool, rehearse: bool) -> None:
    """Train the small model: to see, to speak, then both together."""
    from .training.recipe import TINY, Recipe
    from .training.run import train as run

    recipe = TINY if rehearse else Recipe()
    try:
        model = run(out, recipe, workers=workers)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if evaluate and not rehearse:
        _measure(model, "test", 1000, workers, training=out)
    click.echo(model)


@scenes.command(
    epilog="""\b
Examples:
  sightline scenes evaluate runs/small/model --split development --n 300
  sightline scenes evaluate runs/small/model --training runs/small

\b
Writes README.md (the model card) and evaluation.json into the checkpoint's folder.
"""
)
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True, help="Whose scenes to report on.")
@click.option("--n", "count", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option(
    "--training",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The training's folder, to report its times.",
)
@_WORKERS
def evaluate(model: Path, split: str, count: int, training: Path | None, workers: int) -> None:
    """Measure a checkpoint of the small model and write its card."""
    from .seeds import SPLITS

    if split not in SPLITS:
        raise click.UsageError(f"--split must be one of {', '.join(SPLITS)}, was: {split!r}")
    _measure(model, split, count, workers, training=training)
    click.echo(model / "README.md")


def _measure(model: Path, split: str, count: int, workers: int, *, training: Path | None) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from .card import Training, write_card
    from .evaluate import evaluate as measure
    from .training.recipe import Recipe

    with Progress(console=Console(stderr=True)) as progress:
        found = measure(
            model, split=split, count=count, development=count, workers=workers, progress=progress
        )
    write_card(model, found, Training.read(training, Recipe()) if training else None)
