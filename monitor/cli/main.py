"""The ``sightline`` command."""

from __future__ import annotations

from importlib.metadata import version

import click

from .commands import CommandGroup


@click.group(
    cls=CommandGroup,
    found="sightline.commands",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Start here:
  sightline demo
  sightline caption photo.jpg
  sightline caption photos/ --out reports.jsonl
""",
)
@click.version_option(version("sightline"), prog_name="sightline")
def main() -> None:
    """Watch a vision-language model while it decodes, and flag the objects it makes up."""
