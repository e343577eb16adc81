"""Print the JSON Schema of the reports, or of a calibration."""

from __future__ import annotations

import json

import click


@click.command(
    epilog="""\b
Examples:
  sightline schema > report.schema.json
  sightline schema calibration > calibration.schema.json
"""
)
@click.argument(
    "what", type=click.Choice(["report", "calibration"]), default="report", required=False
)
def schema(what: str) -> None:
    """Print the JSON Schema of one line of a reports file, or of a calibration.json."""
    from ...detectors.artifact import document
    from .. import report

    found = document.schema() if what == "calibration" else report.schema()
    click.echo(json.dumps(found, indent=2, sort_keys=True))


if __name__ == "__main__":
    schema()
