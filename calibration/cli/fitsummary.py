"""What ``sightline calibrate fit`` has to say: in words and numbers, or as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..fitting.fit import Fitted
from ..fitting.guarantee import NoThreshold
from ..fitting.heldout import HeldOut
from ..fitting.probability import BINS
from ..statistics import Estimate

USES: Final = {
    "fit": "detector, range of layers",
    "probability": "from score to probability",
    "threshold": "threshold, figures",
}

_PROMISED: Final = {
    "recall": "images with all of theirs flagged",
    "precision": "images whose top flag is right",
    "false-alarm": "true captions with a flag",
}

_NO_THRESHOLD: Final = "No threshold keeps the promise: nothing is flagged."


def record(fitted: Fitted, evaluated: HeldOut | None, saved: Path | None) -> dict[str, Any]:
    """The result as JSON values; what is not defined is null."""
    calibrated, outcome = fitted.calibrated, fitted.outcome
    refused = isinstance(outcome, NoThreshold)
    promise = calibrated.guarantee
    found: dict[str, Any] = {
        "artifact": None if saved is None else str(saved),
        "name": calibrated.name,
        "detector": calibrated.detector,
        "timing": calibrated.timing,
        "model": calibrated.conditions.model.name,
        "table": calibrated.conditions.table,
        "goal": asdict(fitted.goal),
        "threshold": calibrated.threshold,
        "guarantee": None if promise is None else {**asdict(promise), "words": str(promise)},
        "no_threshold": {**asdict(outcome), "words": str(outcome)} if refused else None,
        "layers": [fitted.layers.first, fitted.layers.last],
        "parts": [asdict(part) for part in fitted.parts],
        "held_out": asdict(fitted.held_out),
        "evaluated": None if evaluated is None else asdict(evaluated),
    }
    return {key: _plain(value) for key, value in found.items()}


def show(fitted: Fitted, evaluated: HeldOut | None, saved: Path | None) -> None:
    """The result for people, on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    calibrated = fitted.calibrated
    console.print(Text(calibrated.name, style="bold"))
    console.print(_parts(fitted))
    console.print()
    console.print(_figures(fitted, evaluated))
    console.print()
    later = "one token later" if calibrated.timing == "naming" else "before the token is emitted"
    console.print(f"Verdicts come {later}. SVAR separates best over layers {fitted.layers}.")
    if calibrated.threshold is None:
        console.print(Text(_NO_THRESHOLD, style="yellow"))
    else:
        console.print(
            Text.assemble(
                "Mentions are flagged from ", (f"{calibrated.threshold:.1%}", "bold")
            ).append(" probability on.")
        )
        console.print(Text(str(calibrated.guarantee), style="green"))
    if saved is not None:
        console.print(f"Written to {saved}.", markup=False)


def _parts(fitted: Fitted) -> Table:
    table = _table("part of the table", "images", "mentions", "hallucinated")
    table.add_column("for")
    for part in fitted.parts:
        table.add_row(
            part.name,
            f"{part.images:,}",
            f"{part.mentions:,}",
            f"{part.hallucinated:,}",
            USES[part.name],
        )
    return table


def _figures(fitted: Fitted, evaluated: HeldOut | None) -> Table:
    columns = [("on the threshold part", fitted.held_out)]
    if evaluated is not None:
        columns.append(("on other images", evaluated))
    table = _table("95% intervals by image", *(name for name, _ in columns))
    held = [one for _, one in columns]
    table.add_row("images / mentions", *(f"{one.images:,} / {one.mentions:,}" for one in held))
    table.add_row("AUROC, all mentions", *(_said(one.auroc) for one in held))
    table.add_row("AUROC, first mentions", *(_said(one.first) for one in held))
    table.add_row("AUROC, within mention index", *(_said(one.within) for one in held))
    table.add_row(
        f"calibration error, {BINS} bins", *(_said(one.calibration_error) for one in held)
    )
    if any(one.unjudged for one in held):
        table.add_row("mentions that could not be judged", *(f"{one.unjudged:,}" for one in held))
    if fitted.calibrated.threshold is not None:
        table.add_row("mentions flagged", *(_said(one.flagged, ".1%") for one in held))
        table.add_row("  real ones", *(_said(one.real_flagged, ".1%") for one in held))
        table.add_row(
            "  hallucinated ones", *(_said(one.hallucinated_flagged, ".1%") for one in held)
        )
        table.add_row(
            _PROMISED[fitted.goal.target],
            *(
                "-" if math.isnan(one.kept) else f"{one.kept:.1%} of {one.counted:,}"
                for one in held
            ),
        )
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _said(estimate: Estimate, spec: str = ".3f") -> str:
    return "-" if math.isnan(estimate.value) else format(estimate, spec)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
