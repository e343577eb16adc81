"""Calibrate a model: collect labelled mentions, fit a detector, look at what it is worth."""

from __future__ import annotations

import click

from ...monitor.cli.commands import CommandGroup


@click.group(
    cls=CommandGroup,
    found="sightline.commands.calibrate",
    epilog="""\b
From images with known objects to verdicts with a guarantee:
  sightline calibrate collect --images val2014/ --annotations instances_val2014.json --out table/
  sightline calibrate fit table/ --detector fused --target recall=0.8 --out artifact/
  sightline calibrate report table/ --out report/
  sightline calibrate policy artifact/ --images fresh/ --annotations fresh/instances.json \\
    --left captions=0.2
""",
)
def calibrate() -> None:
    """From held-out captions to a verdict one can trust."""
