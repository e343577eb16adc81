"""A caption on the terminal, while it is written."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..events import End, Event, Mention, Token, Verdict
from ..report import Report

FLAG: Final = "[!]"
"""Follows a flagged object: a mark that survives without colours."""

# A model may write escape sequences; each control character is shown as one, and obeyed by none.
_HARMLESS: Final = dict.fromkeys((*range(32), *range(127, 160)), "�")
_HARMLESS[ord("\n")] = "\n"
_HARMLESS[ord("\t")] = " "

_OPEN_LINES: Final = 4  # a verdict comes within a few words; what is above these lines is final


def harmless(text: str) -> str:
    """The text for a terminal: as long as before, its control characters replaced."""
    return text.translate(_HARMLESS)


class CaptionView:
    """The coloured text of one caption, as far as its events tell.

    Nouns whose right context is still open are in italics. With a calibration, flagged objects are
    red, underlined and marked, others yellow near the threshold and green below. Without one,
    nouns are brighter the more they looked at the image, beside the most of this caption. Nouns
    that name nothing visible are dim.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._mentions: dict[int, Mention] = {}
        self._verdicts: dict[int, Verdict] = {}

    def add(self, event: Event) -> None:
        """Take in one event of the caption."""
        match event:
            case Token():
                self._pieces.append(event.text)
            case Mention():
                self._mentions[event.index] = event
            case Verdict():
                self._verdicts[event.mention] = event
            case End():
                # What is still provisional turned out to be no noun.
                self._mentions = {i: m for i, m in self._mentions.items() if not m.provisional}
            case _:
                pass

    def __rich__(self) -> Text:
        text = harmless("".join(self._pieces))
        shown = Text()
        done = 0
        for _, mention in sorted(self._mentions.items()):
            if mention.start < done or mention.end > len(text):
                continue  # a provisional mention that a longer name has overtaken
            verdict = self._verdicts.get(mention.index)
            shown.append(text[done : mention.start])
            shown.append(text[mention.start : mention.end], style=self._style(mention, verdict))
            if verdict is not None and verdict.flagged:
                shown.append(FLAG, style="bold red")
            done = mention.end
        shown.append(text[done:])
        return shown

    def _style(self, mention: Mention, verdict: Verdict | None) -> str:
        if verdict is None:
            return "italic"
        if not mention.visible or verdict.svar is None:
            return "dim"
        if verdict.flagged:
            return "bold red underline"
        if verdict.score is not None and verdict.threshold is not None:
            return "yellow" if verdict.score > 0.95 * verdict.threshold else "green"
        most = max(v.svar for v in self._verdicts.values() if v.svar is not None)
        if verdict.svar < 0.5 * most:
            return "blue"
        return "cyan" if verdict.svar < 0.8 * most else "bold cyan"


class LiveCaption:
    """Shows a caption on the console from its first event to its last, and leaves it there.

    Only the last lines are redrawn: a terminal cannot take back what has left the screen.
    """

    def __init__(self, console: Console) -> None:
        self._view = CaptionView()
        self._console = console
        self._settled = 0
        self._live = Live(Text(), console=console, refresh_per_second=15)

    def __enter__(self) -> LiveCaption:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def add(self, event: Event) -> None:
        """Take in one event; the screen follows by itself."""
        self._view.add(event)
        lines = self._view.__rich__().wrap(self._console, self._console.width)
        while len(lines) - self._settled > _OPEN_LINES:
            self._live.console.print(lines[self._settled])
            self._settled += 1
        self._live.update(Text("\n").join(lines[self._settled :]))


def legend(calibrated: bool) -> Text:
    """What the colours mean."""
    if calibrated:
        return Text.assemble(
            ("sees it", "green"),
            "  ",
            ("near the threshold", "yellow"),
            "  ",
            ("flagged", "bold red underline"),
            (FLAG, "bold red"),
            "  ",
            ("no visible object", "dim"),
        )
    return Text.assemble(
        "nouns by attention to the image: ",
        ("little", "blue"),
        "  ",
        ("some", "cyan"),
        "  ",
        ("most", "bold cyan"),
        "   (uncalibrated: nothing is flagged)",
    )


def summary(reports: list[tuple[str, Report]]) -> Table:
    """One row per caption: what was named, what was flagged, how long it took."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("image", "objects", "lowest SVAR", "flagged", "tokens", "ends", "seconds"):
        table.add_column(name, justify="right" if name in ("tokens", "seconds") else "left")
    for name, report in reports:
        seen = [m for m in report.mentions if m.visible]
        lowest = min((m for m in seen if m.svar is not None), key=_svar, default=None)
        flagged = [m.word for m in report.mentions if m.flagged]
        calibrated = report.calibration != "uncalibrated"
        total = report.timings.total
        table.add_row(
            name,
            str(len(seen)),
            "" if lowest is None else f"{lowest.word} {lowest.svar:.2f}",
            ", ".join(flagged) or ("none" if calibrated else "uncalibrated"),
            str(len(report.tokens)),
            report.finish,
            "" if total is None else f"{total:.1f}",
        )
    return table


def _svar(mention: object) -> float:
    value = getattr(mention, "svar", None)
    return float("inf") if value is None else float(value)
