"""Options that several commands share, each said once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

limit_option = click.option(
    "--limit", type=click.IntRange(min=1), help="Take the first images only, by id."
)


def annotations_option(*, required: bool) -> Callable[[Any], Any]:
    """What the images hold."""
    return click.option(
        "--annotations",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        required=required,
        help="What is in them: COCO's instances.json, or a JSON object from image id to object "
        "names.",
    )
