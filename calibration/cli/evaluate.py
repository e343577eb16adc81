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
  sightline evaluate pope coco_pope_random.json --images val2014/ --model llava-hf/llava-1.5-7b-hf
  sightline evaluate amber responses.json --data AMBER/data
  sightline evaluate policies --images scenes/ --annotations scenes/instances.json --out out.jsonl
""",
)
def evaluate() -> None:
    """Hold captions against what is known of their images."""
