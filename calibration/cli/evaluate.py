"""Evaluate captions against annotations."""

from __future__ import annotations

import click

from ...monitor.cli.commands import CommandGroup


@click.group(
    cls=CommandGroup,
    found="sightline.commands.evaluate",
    epilog="""\b
Examples:
  sightline evaluate chair reports.jsonl --annotations instances_val2014.json
  sightline evaluate policies --images scenes/ --annotations scenes/instances.json --out out.jsonl
""",
)
def evaluate() -> None:
    """Hold captions against what is known of their images."""
