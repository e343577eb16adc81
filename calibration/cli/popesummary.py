"""How ``sightline evaluate pope`` shows what it found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from ..benchmarks.answers import Answer, Matched
from ..benchmarks.errors import BenchmarkError
from ..benchmarks.pope import FIGURES, Pope, Reading
from ..benchmarks.pope import pope as measure
from ..benchmarks.questions import Question, Split
from ..benchmarks.saying import in_words, official_pope

if TYPE_CHECKING:
    from rich.table import Table

    from ..statistics import Estimate

READINGS: Final[Mapping[str, Reading]] = {"official": official_pope, "in words": in_words}
"""The ways to read an answer, by what the output calls them."""

ALL: Final = "all"
FEW: Final = 30
_ROOM: Final = 104  # columns that the table with intervals may take
_TELLING: Final = 0.01  # of answers that say nothing, from where on it is said aloud


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of all splits and of all questions together.

    Attributes:
        figures: by split, ``all`` the last of several, then by reading.
        failures: questions that could not be asked.
        flagged: of the answers that were judged, by whether they are right (officially read): how
            many had a word flagged, and of how many. Empty if none was judged.
        limitations: what a reader of the figures must know.
    """

    figures: Mapping[str, Mapping[str, Pope]]
    failures: int
    flagged: Mapping[str, tuple[int, int]]
    limitations: tuple[str, ...]

    @classmethod
    def of(cls, splits: Sequence[Split], matched: Matched) -> Summary:
        """Measure.

        Raises:
            BenchmarkError: a split has no answer at all.
        """
        groups: dict[str, tuple[Sequence[Question], Sequence[Answer]]] = {
            split.name: (split.questions, matched.answers[split.name]) for split in splits
        }
        for name, (_, answers) in groups.items():
            if all(answer.text is None for answer in answers):
                raise BenchmarkError(
                    f"Some question of every split must have an answer, none of {name} has: all "
                    f"{len(answers):,} failed. Is --images the folder of its images?"
                )
        if len(groups) > 1:
            groups[ALL] = (
                tuple(chain.from_iterable(split.questions for split in splits)),
                tuple(chain.from_iterable(matched.answers[split.name] for split in splits)),
            )
        figures = {
            group: {name: measure(*given, reading) for name, reading in READINGS.items()}
            for group, given in groups.items()
        }
        pairs = [
            (question, answer)
            for split in splits
            for question, answer in zip(split.questions, matched.answers[split.name], strict=True)
        ]
        failures = sum(answer.text is None for _, answer in pairs)
        notes = _limitations(list(figures.values())[-1], failures, checked=matched.checked)
        return cls(figures, failures, _flagged(pairs), notes)

    @property
    def means(self) -> Mapping[str, Mapping[str, float]]:
        """Plain means over the splits, as papers give them; empty for a single split."""
        splits = {name: found for name, found in self.figures.items() if name != ALL}
        if len(splits) == 1:
            return {}
        return {
            reading: {
                name: sum(getattr(found[reading], name).value for found in splits.values())
                / len(splits)
                for name in FIGURES
            }
            for reading in READINGS
        }

    def judged(self) -> list[str]:
        """What the monitor flagged, in a line."""
        told = ", ".join(
            f"{count:,} of {of:,} {right}" for right, (count, of) in self.flagged.items()
        )
        return [f"Answers with a word flagged: {told}"] if self.flagged else []

    def as_json(self) -> dict[str, Any]:
        """Everything; ``None`` where a figure is not defined."""
        shown: dict[str, Any] = {
            group: {name: _figures(figure) for name, figure in found.items()}
            for group, found in self.figures.items()
        }
        return {
            "version": 1,
            "kind": "pope",
            "splits": {name: found for name, found in shown.items() if name != ALL},
            "all": list(shown.values())[-1],
            "means": {
                reading: {name: _number(value) for name, value in found.items()}
                for reading, found in self.means.items()
            }
            or None,
            "flagged": {
                right: {"flagged": count, "answers": of}
                for right, (count, of) in self.flagged.items()
            }
            or None,
            "failures": self.failures,
            "limitations": list(self.limitations),
        }


def _flagged(pairs: Sequence[tuple[Question, Answer]]) -> dict[str, tuple[int, int]]:
    judged = [(q, a, a.text) for q, a in pairs if a.flagged is not None and a.text is not None]
    if not judged:
        return {}
    right = [a.flagged is True for q, a, text in judged if official_pope(text) == q.truth]
    wrong = [a.flagged is True for q, a, text in judged if official_pope(text) != q.truth]
    return {"wrong": (sum(wrong), len(wrong)), "right": (sum(right), len(right))}


def _limitations(found: Mapping[str, Pope], failures: int, *, checked: bool) -> tuple[str, ...]:
    strict = found["in words"]
    notes = []
    if strict.images < FEW:
        notes.append(f"Only {strict.images} images: the intervals are rough. Give at least {FEW}.")
    if strict.unanswered.value > _TELLING:
        count = round(strict.unanswered.value * strict.questions)
        notes.append(
            f"{count:,} of {strict.questions:,} answers say neither yes nor no in words. The "
            f"official reading takes them for a yes, unless there is a no in them: its figures "
            f"tell little of this model."
        )
    if failures:
        notes.append(f"{failures:,} questions could not be asked: left out.")
    if not checked:
        notes.append(
            "The answers do not say what they answer. That they are in the questions' order was "
            "taken on trust."
        )
    return tuple(notes)


def _figures(found: Pope) -> dict[str, Any]:
    shares: dict[str, Any] = {
        name: {key: _number(getattr(getattr(found, name), key)) for key in ("value", "low", "high")}
        for name in FIGURES
    }
    return {"questions": found.questions, "images": found.images} | shares


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def table(summary: Summary, *, width: int) -> Table:
    """The figures for people: readings below each other, and where there is room, the intervals.

    Args:
        width: columns of the terminal.
    """
    from rich.table import Table
    from rich.text import Text

    found = list(summary.figures.values())[-1]["official"]
    shown = Table(
        title=f"POPE: {found.questions:,} questions on {found.images:,} images",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    shown.add_column("split", no_wrap=True)
    shown.add_column("reading", no_wrap=True)
    for title in ("accuracy", "precision", "recall", "F1", "yes", "unanswered"):
        shown.add_column(title, justify="right", no_wrap=True)

    def cell(name: str, figure: Estimate) -> Text:
        if not math.isfinite(figure.value):
            return Text("unknown", style="dim")
        loud = "red" if name == "unanswered" and figure.value > _TELLING else ""
        interval = f"\n{figure.low * 100:.1f}–{figure.high * 100:.1f}" if width >= _ROOM else ""
        return Text.assemble((f"{figure.value:.1%}", loud), (interval, "dim"))

    for group, readings in summary.figures.items():
        for i, (reading, one) in enumerate(readings.items()):
            shown.add_row(
                group if i == 0 else "",
                reading,
                *(cell(name, getattr(one, name)) for name in FIGURES),
                style="bold" if group == ALL or len(summary.figures) == 1 else None,
            )
    for i, (reading, values) in enumerate(summary.means.items()):
        shown.add_row(
            "mean" if i == 0 else "",
            reading,
            *("unknown" if math.isnan(v) else f"{v:.1%}" for v in values.values()),
        )
    return shown
