"""List published settings, or say what would be used with a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from ...detectors.published import PublishedSettings
    from ..models.plan import Plan


@click.command(
    epilog="""\b
Examples:
  sightline presets
  sightline presets --json | jq '.models[] | [.model, .layers, .alpha]'
  sightline presets llava-hf/llava-1.5-7b-hf
  sightline presets my-checkpoint/ --json | jq .layers
  sightline presets some/model --depth 28

\b
With a MODEL, its config is read from its folder or from the Hugging Face hub's cache; nothing is
downloaded, and no weights are read.

\b
Exit codes:
  0    told
  1    the model cannot be watched; the message says why
  2    the command line is wrong
"""
)
@click.argument("model", metavar="[MODEL]", required=False)
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    help="How many decoder layers MODEL has, where its config is not on this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def presets(*, model: str | None, depth: int | None, as_json: bool) -> None:
    """List what was published about single models, or say what would be used with MODEL, and why.

    Layers are counted from 0; SVAR is summed over them. Alpha is the strength of the paper's
    intervention (Eq. 4).
    """
    from rich.console import Console

    from ...detectors.published import PUBLISHED

    if model is None:
        if depth is not None:
            raise click.UsageError("--depth is that of a MODEL: give both, or neither.")
        if as_json:
            rows = [_row(settings) for settings in PUBLISHED]
            click.echo(json.dumps({"version": 1, "kind": "presets", "models": rows}, indent=2))
            return
        console = Console(highlight=False)
        console.print(_table(PUBLISHED))
        for source in dict.fromkeys(settings.source for settings in PUBLISHED):
            console.print(f"Source: {source}.", style="dim")
        return
    plan = _plan(model, depth)
    if as_json:
        click.echo(json.dumps(_facts(plan), indent=2))
        return
    console = Console(highlight=False)
    console.print(model, style="bold", markup=False)
    for name, value in _lines(plan):
        console.print(f"  {name:<12} {value}", markup=False)
    for reason in plan.reasons:
        console.print(reason, style="dim", markup=False)


def _plan(model: str, depth: int | None) -> Plan:
    from ..errors import SightlineError
    from ..models.plan import Plan

    try:
        return Plan.of(model, num_layers=depth)
    except (SightlineError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _row(settings: PublishedSettings) -> dict[str, Any]:
    return {
        "model": settings.model,
        "checkpoint": settings.checkpoint or None,
        "num_layers": settings.num_layers,
        "layers": {"first": settings.first, "last": settings.last},
        "mean_svar": {"real": settings.real, "hallucinated": settings.hallucinated},
        "alpha": settings.alpha,
        "prompt": settings.prompt,
        "decoding": settings.decoding,
        "source": settings.source,
    }


def _table(rows: tuple[PublishedSettings, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", style="bold")
    for name in ("layers", "of", "SVAR, real", "made up", "alpha"):
        table.add_column(name, justify="right")
    table.add_column("checkpoint")
    for row in rows:
        table.add_row(
            row.model,
            row.layers,
            str(row.num_layers),
            f"{row.real:.2f}",
            f"{row.hallucinated:.2f}",
            f"{row.alpha:g}",
            row.checkpoint or "no class in transformers",
        )
    return table


def _applies(plan: Plan) -> PublishedSettings | None:
    """What was published, if it is about this very model."""
    settings = plan.published
    return settings if settings is not None and settings.num_layers == plan.num_layers else None


def _facts(plan: Plan) -> dict[str, Any]:
    layers, judge, settings = plan.layers, plan.calibration, _applies(plan)
    return {
        "version": 1,
        "kind": "preset",
        "model": plan.model,
        "architecture": plan.architecture or None,
        "num_layers": plan.num_layers,
        "layers": None
        if layers is None
        else {"first": layers.first, "last": layers.last, "source": layers.source},
        "calibration": None
        if judge is None
        else {"name": judge.name, "kind": judge.kind, "threshold": judge.threshold},
        "published": None if settings is None else _row(settings),
        "reasons": list(plan.reasons),
    }


def _lines(plan: Plan) -> list[tuple[str, str]]:
    layers, judge, settings = plan.layers, plan.calibration, _applies(plan)
    lines = [
        ("architecture", plan.architecture or "unknown"),
        ("layers", "unknown" if layers is None else f"{layers} of {plan.num_layers}"),
        ("judged by", "nothing" if judge is None else f"{judge.name} ({judge.kind})"),
    ]
    if settings is not None:
        lines.append(("alpha", f"{settings.alpha:g}, as published; for policies that intervene"))
        lines.append(("prompt", settings.prompt))
    return lines
