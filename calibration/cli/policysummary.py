"""What ``sightline calibrate policy`` has to say: in words and numbers, or as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..policies.certification import Certified, NoPolicy, Row, figures
from ..policies.outcomefile import Trial

_ASIDE: Final = {
    "recall": "names too little",
    "passes": "takes too long",
    "outdone": "outdone by another",
}


def record(
    found: Certified | NoPolicy, trial: Trial, artifact: Path, outcomes: Path
) -> dict[str, Any]:
    """The result as JSON values; what is not defined is null."""
    certified = isinstance(found, Certified)
    return {
        "artifact": str(artifact) if certified else None,
        "outcomes": str(outcomes),
        "images": trial.header.images - len(trial.unreadable),
        "unreadable": [asdict(one) for one in trial.unreadable],
        "chosen": found.candidate.name if isinstance(found, Certified) else None,
        "certificate": (
            {**asdict(found.certificate), "words": str(found.certificate)}
            if isinstance(found, Certified)
            else None
        ),
        "no_policy": (
            {
                "left": found.promise.left,
                "level": found.promise.level,
                "confidence": found.promise.confidence,
                "images": found.images,
                "best": None if math.isnan(found.best) else found.best,
                "reachable": found.reachable,
                "needed": found.needed,
                "words": str(found),
            }
            if isinstance(found, NoPolicy)
            else None
        ),
        "policies": [figures(row) for row in found.rows],
    }


def show(found: Certified | NoPolicy, trial: Trial, artifact: Path, outcomes: Path) -> None:
    """The result for people, on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    chosen = found.candidate.name if isinstance(found, Certified) else None
    if not console.is_terminal:
        console.width = max(console.width, 132)  # names are long, and a pipe has no edge
    console.print(_table(found.rows, chosen))
    console.print()
    if trial.unreadable:
        console.print(
            Text(f"{len(trial.unreadable):,} images could not be read; see {outcomes}.", "yellow")
        )
    console.print(f"Captions and costs are in {outcomes}.", markup=False)
    if isinstance(found, Certified):
        console.print(Text.assemble("Chosen: ", (found.candidate.name, "bold"), "."))
        promise = found.certificate
        console.print(Text(str(promise), style="green"))
        console.print(
            f"It names {promise.recall:.1%} of the objects in those images, without it "
            f"{promise.recall_without:.1%} are named. The loss of recall is measured, not promised."
        )
        console.print(
            f"Written to {artifact}; use it with --policy calibrated.",
            markup=False,
        )


def _table(rows: tuple[Row, ...], chosen: str | None) -> Table:
    first = rows[0]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("policy", overflow="fold")
    for name in ("left", "recall", "F1", "passes"):
        table.add_column(f"{name}\n" + (f"on {first.chosen.images:,}" if name == "left" else ""))
    for name in ("left", "recall", "p"):
        table.add_column(f"{name}\n" + (f"on {first.proven.images:,}" if name == "left" else ""))
    table.add_column("", no_wrap=True)
    for column in table.columns[1:-1]:
        column.justify = "right"
        column.no_wrap = True
    for row in rows:
        one, other = row.chosen, row.proven
        table.add_row(
            row.candidate.name,
            *(_share(value) for value in (one.left, one.recall, one.f1)),
            f"{one.passes:.1f}",
            *(_share(value) for value in (other.left, other.recall)),
            "" if row.p_value is None else f"{row.p_value:.2g}",
            _said(row, chosen),
            style="bold" if row.candidate.name == chosen else "dim" if row.aside else None,
        )
    return table


def _said(row: Row, chosen: str | None) -> Text:
    if row.certified:
        said = "certified, chosen" if row.candidate.name == chosen else "certified"
        return Text(said, style="green")
    if row.aside is not None:
        return Text(_ASIDE[row.aside])
    return Text("not certified" if row.p_value is not None else "not tested")


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"
