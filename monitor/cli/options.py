"""Options that several commands share, each said once."""

from __future__ import annotations

from pathlib import Path

import click

model_option = click.option(
    "--model",
    metavar="NAME_OR_FOLDER",
    default="small",
    show_default=True,
    help="A saved checkpoint, a name on the Hugging Face hub, or 'small', which ships with "
    "sightline.",
)
prompt_option = click.option(
    "--prompt", help="The question; by default the paper's request for details."
)
max_new_tokens_option = click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Cut captions at this length.",
)
calibration_option = click.option(
    "--calibration",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What `sightline calibrate fit` wrote for this model; by default the calibration in the "
    "checkpoint's own folder.",
)
lexicon_option = click.option(
    "--lexicon",
    metavar="NAME_OR_FILE",
    help="Which words name which object: coco, small or a file.",
)
device_option = click.option(
    "--device", help="Where the model runs, such as cuda; the CPU by default."
)
retries_option = click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Try again so often, after a pause, what may pass: a read or write that fails, an image "
    "for which there is no memory. Batches for which there is none are halved.",
)
