"""Print the JSON Schema of the reports."""

from __future__ import annotations

import json

import click


@click.command(
    epilog="""\b
Example:
  sightline schema > report.schema.json
"""
)
def schema() -> None:
    """Print the JSON Schema of one line of a reports file."""
    from .. import report

    click.echo(json.dumps(report.schema(), indent=2, sort_keys=True))


if __name__ == "__main__":
    schema()
