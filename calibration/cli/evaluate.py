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
""",
)
def evaluate() -> None:
    """Hold captions against what is known of their images."""
