"""The comparison of ways as people read it: on a terminal, as Markdown in a page, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...monitor.cli.terminal import harmless
from ..reporting.comparison_views import escaped
from ..reporting.figures.figure import plain
from ..statistics import Estimate
from .comparison import Comparison, Goal, WayRow

BEGIN: Final = "<!-- sightline: policies -->"
END: Final = "<!-- sightline: end of policies -->"

_WIDE: Final = 170


Writing = Callable[[float], str]
"""How a figure is written."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures.

    Attributes:
        title: its heading.
        of: the figure of a row, ``None`` where there is none.
        written: how a figure is written.
        narrow: whether a narrow terminal shows it too.
        interval: whether its interval is shown.
    """

    title: str
    of: Callable[[WayRow], Estimate | None]
    written: Writing
    narrow: bool = False
    interval: bool = True


def percent(value: float) -> str:
    """``12.4%``."""
    return f"{100 * value:.1f}%" if value == value else "–"


def change(value: float) -> str:
    """``−69%``: a relative change."""
    return f"{100 * value:+.0f}%".replace("-", "−") if value == value else "–"


def points(value: float) -> str:
    """``−1.7``: percentage points."""
    return f"{100 * value:+.1f}".replace("-", "−") if value == value else "–"


def thousandths(value: float) -> str:
    """``.140``."""
    return f"{value:.3f}".replace("0.", ".", 1) if value == value else "–"


def tenths(value: float) -> str:
    """``34.3``."""
    return f"{value:.1f}".replace("-", "−") if value == value else "–"


def times(value: float) -> str:
    """``1.04x``."""
    return f"{value:.2f}x" if value == value else "–"


COLUMNS: Final = (
    Column("CHAIR_I", lambda row: row.chair.chair_i, percent, narrow=True),
    Column("unique", lambda row: row.chair.chair_i_unique, percent),
    Column("CHAIR_S", lambda row: row.chair.chair_s, percent, narrow=True),
    Column("recall", lambda row: row.chair.recall, percent, narrow=True),
    Column("F1", lambda row: row.chair.f1, percent),
    Column("Rep-2", lambda row: row.chair.rep_2, thousandths, narrow=True),
    Column("Dist-1", lambda row: row.chair.dist_1, thousandths),
    Column("words", lambda row: row.chair.length, tenths, interval=False),
    Column("extra tokens", lambda row: row.extra, tenths, interval=False),
    Column(
        "passes",
        lambda row: None if row.against is None else row.against.passes,
        times,
        narrow=True,
    ),
    Column(
        "time", lambda row: None if row.against is None else row.against.time, times, narrow=True
    ),
    Column(
        "total time", lambda row: None if row.against is None else row.against.total_time, times
    ),
    Column("Δ CHAIR_I", lambda row: None if row.against is None else row.against.chair_i, change),
    Column("Δ CHAIR_S", lambda row: None if row.against is None else row.against.chair_s, change),
    Column("Δ recall", lambda row: None if row.against is None else row.against.recall, points),
)
"""Columns after the way's name; those with Δ are against greedy decoding."""


def note(goal: Goal) -> str:
    """What the columns mean, and the goal."""
    return (
        f"95% intervals by image; Δ is against greedy captions, paired by image: CHAIR relative, "
        f"recall in points. Unique: each object of a caption counted once. Extra tokens: decoded, "
        f"and not in the caption, per caption. Passes: forward passes, greedy's being 1. Time: "
        f"median over images of the seconds, greedy's on the same image being 1; total time: of "
        f"all images together. Goal: CHAIR_I and CHAIR_S down by {goal.chair_cut:.0%}, at most "
        f"{100 * goal.recall_loss:g} points of recall lost, Rep-2 up by at most "
        f"{goal.repetition:g}, at most {goal.time:g}x the time."
    )


def heading(comparison: Comparison) -> str:
    """What was measured, in a line."""
    ways = len(comparison.rows)
    text = f"{comparison.model}: {ways} ways to caption {comparison.images:,} images"
    if comparison.unreadable:
        text += f" ({comparison.unreadable:,} more could not be read)"
    return text


def verdict(row: WayRow) -> str:
    """Whether a way reaches the goal, or what it misses."""
    if row.misses is None:
        return ""
    return "reached" if row.meets else f"misses {', '.join(row.misses)}"


def listed(comparison: Comparison) -> tuple[WayRow, ...]:
    """The rows that a table shows: those that are meant for it."""
    return tuple(row for row in comparison.rows if row.listed)


def all_listed(comparison: Comparison) -> Comparison:
    """The same with every row in its table."""
    return replace(comparison, rows=tuple(replace(row, listed=True) for row in comparison.rows))


def terminal(comparison: Comparison, *, width: int) -> Group:
    """A table for a terminal of some width; a wide one has all columns, and intervals."""
    wide = width >= _WIDE
    columns = [column for column in COLUMNS if wide or column.narrow]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("way", max_width=None if wide else 44)
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    table.add_column("goal")
    for row in listed(comparison):
        style = "bold green" if row.meets else ""
        # A model's, or a policy's, name may hold escape sequences and markup: none is obeyed.
        cells = [Text(harmless(row.way), style=style or "cyan")]
        for column in columns:
            found = column.of(row)
            cell = Text()
            if found is not None:
                cell.append(column.written(found.value), style=style)
                if wide and column.interval:
                    cell.append(f"\n{_interval(column, found)}", style="dim")
            cells.append(cell)
        cells.append(Text(verdict(row), style="green" if row.meets else "dim"))
        table.add_row(*cells)
    parts: list[RenderableType] = [Text(harmless(heading(comparison)), style="bold"), table]
    if not wide:
        parts.append(
            Text(f"A terminal of {_WIDE} columns shows all figures, and intervals.", style="dim")
        )
    return Group(*parts, Text(note(comparison.goal), style="dim"))


def markdown(comparison: Comparison) -> str:
    """The table for a page, and what its columns mean."""
    lines = [
        f"**{escaped(heading(comparison))}**",
        "",
        "| way | " + " | ".join(column.title for column in COLUMNS) + " | goal |",
        "|---|" + "---:|" * len(COLUMNS) + "---|",
    ]
    for row in listed(comparison):
        cells = [escaped(row.way)]
        for column in COLUMNS:
            found = column.of(row)
            text = "" if found is None else column.written(found.value)
            if found is not None and column.interval:
                text += f" <sub>{_interval(column, found)}</sub>"
            cells.append(text)
        cells.append(verdict(row))
        if row.meets:
            cells = [f"**{cells[0]}**", *cells[1:]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join((*lines, "", note(comparison.goal))) + "\n"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """All figures, unrounded; those that are not defined are null."""
    values: dict[str, Any] = plain(comparison)
    return values


def _interval(column: Column, found: Estimate) -> str:
    low, high = column.written(found.low), column.written(found.high)
    signed = column.written in (change, points)
    for unit in ("%", "x"):
        low = low.removesuffix(unit)
        high = high.removesuffix(unit)
    return f"{low} to {high}" if signed else f"{low}–{high}"
