"""Add to an older calibration what is usual of the mentions that it was fitted on."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  sightline calibrate bands artifact/ table/

\b
`sightline calibrate fit` writes the bands since there are any; this is for artifacts from before.
They are the middle 80% and the median, by layer, of the attention that real and hallucinated
mentions pay to the image: what reports hold a noun's profile against (sightline inspect). No
score and no threshold rests on them, and nothing else in the artifact changes.
"""
)
@click.argument("artifact", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("table", type=click.Path(exists=True, file_okay=False, path_type=Path))
def bands(artifact: Path, table: Path) -> None:
    """Add to ARTIFACT what is usual of the mentions in TABLE, which it was fitted on."""
    from rich.console import Console

    from ...detectors.bands import Bands
    from ...detectors.calibrated import CalibratedDetector
    from ...monitor.errors import SightlineError
    from ..collecting.table import CalibrationTable

    try:
        calibrated = CalibratedDetector.load(artifact)
        whole = CalibrationTable.load(table)
        if calibrated.conditions.table != whole.data_hash:
            raise click.ClickException(
                f"The bands must be of the table that {artifact} was fitted on, "
                f"{calibrated.conditions.table[:12] or 'unknown'}, {table} is "
                f"{whole.data_hash[:12]}. Give that table, or fit a calibration on this one."
            )
        found = Bands.of(whole.mentions, whole.labels)
        if found is None:
            raise click.ClickException(
                f"Bands need at least 10 real and 10 hallucinated mentions, {table} has fewer. "
                f"Collect captions of more images."
            )
        calibrated.with_bands(found).save(artifact)
    except (ValueError, SightlineError, OSError) as error:
        raise click.ClickException(str(error)) from error
    Console(stderr=True, highlight=False).print(
        f"Bands of {len(whole):,} mentions in {len(found.layers)} layers.", markup=False
    )
    click.echo(str(artifact))
