"""The comparison as people read it: on a terminal, as Markdown in a page, as JSON in a pipe."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ...monitor.cli.terminal import harmless
from ..statistics import Estimate
from .comparison import Comparison, Row, Source
from .figures.figure import plain

BEGIN: Final = "<!-- sightline: comparison -->"
END: Final = "<!-- sightline: end of comparison -->"

TIMING: Final = {"predicting": "with the token", "naming": "one token later"}
"""When the verdict is there: before the token is handed to anyone, or once the next is known."""

_WIDE: Final = 130

NOTE: Final = (
    "AUROC, average precision (AP) and their 95% intervals by image. Within index: first mentions, "
    "each compared with those at the same place in the caption, where position is worth .5. Lift: "
    "AUROC above the text-only prior, paired by image. ECE: expected calibration error."
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures.

    Attributes:
        title: its heading.
        of: the figure of a row, ``None`` where there is none.
        signed: whether it is a difference.
        interval: whether to show its interval.
        least: whether small is good.
    """

    title: str
    of: Callable[[Row], Estimate | None]
    signed: bool = False
    interval: bool = True
    least: bool = False


COLUMNS: Final = (
    Column("AUROC", lambda row: row.auroc),
    Column("AP", lambda row: row.average_precision),
    Column("AUROC, first mentions", lambda row: row.first_auroc),
    Column("AP, first mentions", lambda row: row.first_average_precision),
    Column("AUROC within index", lambda row: row.within_auroc),
    Column("lift", lambda row: row.lift, signed=True),
    Column("lift within index", lambda row: row.within_lift, signed=True),
    # Redrawing only adds to this error, so its percentiles are no interval around it.
    Column("ECE", lambda row: row.calibration_error, interval=False, least=True),
)


def figure(value: float, *, signed: bool = False) -> str:
    """Three digits without the zero that all of them share: ``.893``, ``+.042``."""
    if value != value:
        return "–"
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("0.", ".", 1).replace("-", "−")


def interval(found: Estimate, *, signed: bool = False) -> str:
    """``.880–.905``, or ``−.030 to +.010``."""
    dash = " to " if signed else "–"
    return f"{figure(found.low, signed=signed)}{dash}{figure(found.high, signed=signed)}"


def heading(source: Source) -> str:
    """What was measured on, in a line."""
    return (
        f"{source.model}: {source.mentions:,} object mentions in {source.images:,} captions, "
        f"{source.hallucinated / source.mentions:.1%} hallucinated"
    )


def best(rows: Sequence[Row], column: Column) -> float | None:
    """The best figure of a column, where there are several to choose from."""
    values = [
        found.value for row in rows if (found := column.of(row)) and found.value == found.value
    ]
    if len(values) < 2:
        return None
    return min(values) if column.least else max(values)


def terminal(comparisons: Sequence[Comparison], *, width: int) -> Group:
    """Tables for a terminal of some width: each interval below its figure, if there is room."""
    return Group(
        *(part for comparison in comparisons for part in _terminal(comparison, width >= _WIDE))
    )


def _terminal(comparison: Comparison, wide: bool) -> Iterator[Table | Text]:
    # A model's name may hold escape sequences and Rich's own markup: neither is obeyed.
    yield Text(harmless(heading(comparison.on)), style="bold")
    yield Text(
        f"fitted on {comparison.fit.mentions:,} mentions in {comparison.fit.images:,} captions of "
        f"{harmless(comparison.fit.model)}",
        style="dim",
    )
    table = Table(
        box=None, pad_edge=False, header_style="bold", padding=(0, 2 if wide else 1, 0, 0)
    )
    table.add_column("detector", no_wrap=True)
    if wide:
        table.add_column("verdict", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column.title, justify="right", vertical="top")
    for row in comparison.rows:
        cells = [Text(row.detector, style="cyan")]
        if wide:
            cells.append(Text(TIMING[row.timing], style="dim"))
        for column in COLUMNS:
            found = column.of(row)
            cell = Text()
            if found is not None:
                top = best(comparison.rows, column) == found.value
                cell.append(
                    figure(found.value, signed=column.signed), style="bold green" if top else ""
                )
                if column.interval and wide:
                    cell.append("\n" + interval(found, signed=column.signed), style="dim")
            cells.append(cell)
        table.add_row(*cells)
    yield table
    if not wide:
        yield Text(f"A terminal of {_WIDE} columns shows the intervals too.", style="dim")
    for missing in comparison.missing:
        yield Text.assemble(
            (f"{missing.detector}: ", "cyan"),
            ("not measured. ", "yellow"),
            harmless(missing.reason),
        )
    for limit in comparison.limits:
        yield Text(limit, style="yellow")
    yield Text()


def markdown(comparisons: Sequence[Comparison]) -> str:
    """The tables for a page, one after the other, and what their columns mean."""
    blocks = [_markdown(comparison) for comparison in comparisons]
    return "\n\n".join((*blocks, NOTE)) + "\n"


def _markdown(comparison: Comparison) -> str:
    lines = [
        f"**{escaped(heading(comparison.on))}** (fitted on {comparison.fit.mentions:,} mentions "
        f"in {comparison.fit.images:,} other captions)",
        "",
        "| detector | verdict | " + " | ".join(column.title for column in COLUMNS) + " |",
        "|---|---|" + "---:|" * len(COLUMNS),
    ]
    for row in comparison.rows:
        cells = [f"`{row.detector}`", TIMING[row.timing]]
        for column in COLUMNS:
            found = column.of(row)
            if found is None:
                cells.append("")
                continue
            value = figure(found.value, signed=column.signed)
            if best(comparison.rows, column) == found.value:
                value = f"**{value}**"
            if column.interval:
                value += f" <sub>{interval(found, signed=column.signed)}</sub>"
            cells.append(value)
        lines.append("| " + " | ".join(cells) + " |")
    remarks = [
        f"- `{missing.detector}` was not measured. {escaped(missing.reason)}"
        for missing in comparison.missing
    ]
    remarks += [f"- {escaped(limit)}" for limit in comparison.limits]
    return "\n".join((*lines, "", *remarks) if remarks else lines)


def as_json(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """All figures, unrounded; those that are not defined are null."""
    return {"comparisons": plain(tuple(comparisons))}


def update(path: Path, text: str, *, begin: str = BEGIN, end: str = END) -> bool:
    """Put the text between two marks in a file; say whether it changed.

    Args:
        path: the file.
        text: what is to stand there.
        begin: the mark before it.
        end: the mark after it.

    Raises:
        ValueError: the file does not hold the two marks, once each and in that order.
        OSError: it cannot be read or written.
    """
    before = path.read_text(encoding="utf-8")
    if before.count(begin) != 1 or before.count(end) != 1 or before.find(begin) > before.find(end):
        raise ValueError(
            f"{path} must hold {begin} and, after it, {end}, once each, on lines of their own. Put "
            f"them where the table should be."
        )
    first, last = before.index(begin) + len(begin), before.index(end)
    after = f"{before[:first]}\n\n{text.strip()}\n\n{before[last:]}"
    if after != before:
        write_whole(path, after.encode(errors="replace"))
    return after != before


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, over an older one of the same permissions.

    Raises:
        OSError: it cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def escaped(text: str) -> str:
    """A foreign text in Markdown: no markup, no HTML, no end of the cell, all on one line."""
    flat = " ".join(harmless(text).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", flat)
