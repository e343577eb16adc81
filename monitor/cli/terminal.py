"""A caption on the terminal, while it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...detectors.verdict import Kind
from ..events import End, Event, Mention, Retract, Token, Verdict
from ..report import ActionSection, MentionSection, Report

FLAG: Final = "[!]"
"""Follows a flagged object: a mark that survives without colours."""

# A model may write escape sequences; each control character is shown as one, and obeyed by none.
_HARMLESS: Final = dict.fromkeys((*range(32), *range(127, 160)), "�")
_HARMLESS[ord("\n")] = "\n"
_HARMLESS[ord("\t")] = " "

_LIKELY_REAL: Final = 0.2
_LIKELY_MADE_UP: Final = 0.5

_OPEN_LINES: Final = 4  # a verdict comes within a few words; what is above these lines is final


def harmless(text: str) -> str:
    """The text for a terminal: as long as before, its control characters replaced."""
    return text.translate(_HARMLESS)


class CaptionView:
    """The coloured text of one caption, as far as its events tell.

    Nouns whose right context is still open are in italics. Flagged objects are red, underlined and
    marked. The others go from green over yellow to red with the probability that they are made up;
    where a calibration gives none, they are yellow near its threshold and green below. Without a
    calibration, nouns are brighter the more they looked at the image, beside the most of this
    caption. Nouns that name nothing visible, and those that the probabilities are not about, are
    dim.
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
            case Retract():
                del self._pieces[event.token :]
                self._mentions = {i: m for i, m in self._mentions.items() if i < event.mention}
                self._verdicts = {i: v for i, v in self._verdicts.items() if i < event.mention}
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
        if verdict.probability is not None:
            return _shade(verdict.probability) if mention.object is not None else "dim"
        if verdict.score is not None and verdict.threshold is not None:
            return "yellow" if verdict.score > 0.95 * verdict.threshold else "green"
        most = max(v.svar for v in self._verdicts.values() if v.svar is not None)
        if verdict.svar < 0.5 * most:
            return "blue"
        return "cyan" if verdict.svar < 0.8 * most else "bold cyan"


def _shade(probability: float) -> str:
    if probability < _LIKELY_REAL:
        return "green"
    return "yellow" if probability < _LIKELY_MADE_UP else "red"


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


_OUTCOMES: Final = {
    "replaced": ("rewritten", "green"),
    "kept": ("kept, flagged", "yellow"),
    "dropped": ("left out", "red"),
    "stopped": ("ended before", "red"),
}


def told(action: ActionSection) -> Text:
    """What a policy did, in one line: the outcome, the old text struck out, the new one."""
    name, style = _OUTCOMES[action.outcome]
    line = Text.assemble("  ", (name, style), ": ")
    line.append(harmless(action.old), style="dim" if action.outcome == "kept" else "dim strike")
    if action.outcome == "replaced":
        line.append(" -> ").append(harmless(action.new) or "(nothing)", style="green")
    because = ", ".join(harmless(name) for name in action.objects)
    if action.old_score is not None:
        because += f" {action.old_score:.2f}"
    tries = f", {len(action.tries)} tries" if len(action.tries) > 1 else ""
    line.append(f"  ({because}{tries})", style="dim")
    return line


def legend(kind: Kind | None) -> Text:
    """What the colours mean under a calibration of this kind, or without one."""
    if kind is not None:
        probable = (
            "made up with probability ",
            (f"< {_LIKELY_REAL:.0%}", "green"),
            "  ",
            (f"< {_LIKELY_MADE_UP:.0%}", "yellow"),
            "  ",
            ("more", "red"),
        )
        near = (("sees it", "green"), "  ", ("near the threshold", "yellow"))
        return Text.assemble(
            *(probable if kind == "calibrated" else near),
            "  ",
            ("flagged", "bold red underline"),
            (FLAG, "bold red"),
            "  ",
            ("not judged" if kind == "calibrated" else "no visible object", "dim"),
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
    """One row per caption: what was named, what was flagged, how long it took.

    The most suspicious object is the one with the highest probability, or, where no probability is
    known, with the lowest SVAR.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    probable = any(m.probability is not None for _, report in reports for m in report.mentions)
    worst = "most likely made up" if probable else "lowest SVAR"
    for name in ("image", "objects", worst, "flagged", "tokens", "ends", "seconds"):
        table.add_column(name, justify="right" if name in ("tokens", "seconds") else "left")
    for name, report in reports:
        seen = [m for m in report.mentions if m.visible]
        flagged = [m.word for m in report.mentions if m.flagged]
        calibrated = report.calibration != "uncalibrated"
        total = report.timings.total
        table.add_row(
            name,
            str(len(seen)),
            _most_likely(seen) if probable else _lowest(seen),
            ", ".join(flagged) or ("none" if calibrated else "uncalibrated"),
            str(len(report.tokens)),
            report.finish,
            "" if total is None else f"{total:.1f}",
        )
    return table


def _most_likely(seen: Sequence[MentionSection]) -> str:
    known = [(m.probability, m.word) for m in seen if m.probability is not None and m.object]
    probability, word = max(known, default=(None, ""))
    return "" if probability is None else f"{word} {probability:.0%}"


def _lowest(seen: Sequence[MentionSection]) -> str:
    svar, word = min(((m.svar, m.word) for m in seen if m.svar is not None), default=(None, ""))
    return "" if svar is None else f"{word} {svar:.2f}"
