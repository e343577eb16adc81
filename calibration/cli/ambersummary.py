"""How ``sightline evaluate amber`` shows what it found."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..benchmarks.amber import (
    DIMENSIONS,
    Described,
    Discriminative,
    Figure,
    Generative,
    Response,
    amber_score,
    describe,
    discriminative,
    generative,
)
from ..benchmarks.amberdata import AmberData, Fact, Picture
from ..benchmarks.ambernouns import Nouns, SameLemma, Similar
from ..benchmarks.responses import Responses
from ..benchmarks.saying import Said, in_words, official_amber
from ..objects.nltklemmas import INSTALL

if TYPE_CHECKING:
    from rich.table import Table

READINGS: Final[Mapping[str, Callable[[str], Said | None]]] = {
    "official": official_amber,
    "in words": in_words,
}
_FIGURES: Final = ("accuracy", "precision", "recall", "f1")
_TELLING: Final = 0.01  # of answers that say nothing, from where on it is said aloud
_ROOM: Final = 96  # columns that the table with intervals may take
FEW: Final = 30


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of both tasks, as far as there are responses.

    Attributes:
        generative: of descriptions; ``None``: there are none.
        discriminative: of answers, by dimension, then by reading; empty: there are none.
        failures: queries that could not be put.
        nouns: what found the nouns.
        synonyms: what told synonyms.
        limitations: what a reader of the figures must know.
    """

    generative: Generative | None
    discriminative: Mapping[str, Mapping[str, Discriminative]]
    failures: int
    nouns: str
    synonyms: str
    limitations: tuple[str, ...]

    @classmethod
    def of(cls, given: Responses, data: AmberData, nouns: Nouns, like: Similar) -> Summary:
        """Measure; a bar on terminals, for synonyms take a while."""
        images = {**{i: str(i) for i in range(1, len(data.annotations) + 1)}, **data.images}
        described = _described(given.descriptions, images, data, nouns, like)
        found = generative(described, data.start) if described else None
        answers: dict[str, dict[str, Discriminative]] = {}
        for dimension, kinds in DIMENSIONS.items():
            of = [
                (images[one.number], fact, one.text)
                for one in given.answers
                if isinstance(fact := data.annotation(one.number), Fact) and fact.kind in kinds
            ]
            if of:
                answers[dimension] = {
                    name: discriminative(
                        [(image, fact, read(text)) for image, fact, text in of],
                        data.start,
                        dimension,
                    )
                    for name, read in READINGS.items()
                }
        notes = _limitations(found, answers, given.failures, data, nouns, like)
        return cls(found, answers, given.failures, nouns.name, like.name, notes)

    @property
    def scores(self) -> Mapping[str, float]:
        """The AMBER score by reading; empty unless every dimension has answers."""
        every = {"existence", "attribute", "relation"}
        if self.generative is None or not every <= self.discriminative.keys():
            return {}
        return {
            name: amber_score(self.generative, found)
            for name, found in self.discriminative["discriminative"].items()
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, in percent; ``None`` where a figure is not defined or a task not done."""
        described = self.generative
        return {
            "version": 1,
            "kind": "amber",
            "nouns": self.nouns,
            "synonyms": self.synonyms,
            "generative": None
            if described is None
            else {"responses": described.responses}
            | {name: _json(getattr(described, name)) for name in ("chair", "cover", "hal", "cog")},
            "discriminative": {
                dimension: {name: _answers(one) for name, one in found.items()}
                for dimension, found in self.discriminative.items()
            }
            or None,
            "amber_score": dict(self.scores) or None,
            "failures": self.failures,
            "limitations": list(self.limitations),
        }


def _described(
    descriptions: Sequence[Response],
    images: Mapping[int, str],
    data: AmberData,
    nouns: Nouns,
    like: Similar,
) -> list[tuple[str, Described]]:
    from rich.console import Console
    from rich.progress import track

    found = []
    for one in track(
        descriptions,
        "read",
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ):
        picture = data.annotation(one.number)
        assert isinstance(picture, Picture)
        found.append((images[one.number], describe(one.text, picture, data, nouns, like)))
    return found


def _limitations(
    described: Generative | None,
    answers: Mapping[str, Mapping[str, Discriminative]],
    failures: int,
    data: AmberData,
    nouns: Nouns,
    like: Similar,
) -> tuple[str, ...]:
    notes = []
    pictures = sum(isinstance(one, Picture) for one in data.annotations)
    asked = {
        "descriptions": (0 if described is None else described.responses, pictures),
        "answers": (
            answers["discriminative"]["official"].responses if answers else 0,
            len(data.annotations) - pictures,
        ),
    }
    for what, (there, of) in asked.items():
        if 0 < there < of:
            notes.append(
                f"{there:,} of AMBER's {of:,} {what}: not comparable with published figures."
            )
    if described is not None and described.responses < FEW:
        notes.append(f"Only {described.responses} descriptions: the intervals are rough.")
    if answers:
        official, words = answers["discriminative"].values()
        if official.unanswered.value > _TELLING:
            count, silent = (
                round(one.unanswered.value * one.responses) for one in (official, words)
            )
            notes.append(
                f'{count:,} of {official.responses:,} answers are not "Yes" or "No" to the letter, '
                f"which is all that AMBER's script reads: it takes them for wrong. {silent:,} say "
                f"neither in words."
            )
    if not data.images:
        notes.append("Without query/ nobody knows the images: intervals are by response.")
    if failures:
        notes.append(f"{failures:,} queries could not be put: left out.")
    if described is not None and nouns.name != "NLTK":
        notes.append(
            "Nouns are found by built-in rules. To find them as AMBER's script does, install "
            f"NLTK's data: {INSTALL}"
        )
    if described is not None and isinstance(like, SameLemma):
        notes.append(
            "Synonyms are words of the same lemma. AMBER's script compares word vectors and "
            "forgives more: CHAIR and Hal are higher here than published, Cover is lower. Give "
            "--spacy en_core_web_lg to count as it does."
        )
    return tuple(notes)


def _json(figure: Figure) -> dict[str, float | None]:
    around = figure.interval
    return {"value": figure.value, "low": _number(around.low), "high": _number(around.high)}


def _answers(found: Discriminative) -> dict[str, Any]:
    return {
        "responses": found.responses,
        **{name: _json(getattr(found, name)) for name in _FIGURES},
        "unanswered": _number(found.unanswered.value * 100),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def tables(summary: Summary, *, width: int) -> list[Table]:
    """The figures for people, a table a task.

    Args:
        width: columns of the terminal; intervals are shown where there is room.
    """
    from rich.table import Table

    def made(title: str, *columns: str) -> Table:
        shown = Table(
            title=title,
            title_justify="left",
            title_style="bold",
            box=None,
            pad_edge=False,
            header_style="bold",
        )
        for column in columns:
            shown.add_column(column, justify="left" if column in _LEFT else "right", no_wrap=True)
        return shown

    found: list[Table] = []
    if (described := summary.generative) is not None:
        title = f"AMBER: {described.responses:,} descriptions"
        shown = made(title, "figure", "%", "95% interval", "what it counts")
        shown.caption = f"nouns: {summary.nouns}; synonyms: {summary.synonyms}"
        shown.caption_justify = "left"
        for name, label, meaning in _ROWS:
            figure: Figure = getattr(described, name)
            shown.add_row(
                label, f"{figure.value:.1f}", _interval(figure), meaning, style=_style(name)
            )
        found.append(shown)
    if summary.discriminative:
        count = summary.discriminative["discriminative"]["official"].responses
        shown = made(
            f"AMBER: {count:,} yes/no questions, in %",
            *("about", "reading", "accuracy", "precision", "recall", "F1", "unanswered"),
        )
        for dimension, readings in summary.discriminative.items():
            for i, (reading, one) in enumerate(readings.items()):
                shown.add_row(
                    _INDENTED.get(dimension, dimension) if i == 0 else "",
                    reading,
                    *(_cell(getattr(one, name), width) for name in _FIGURES),
                    _silent(one.unanswered.value),
                    style="bold" if dimension == "discriminative" else None,
                )
        found.append(shown)
    if summary.scores:
        shown = made("", "AMBER score", "reading")
        for reading, score in summary.scores.items():
            shown.add_row(f"{score:.1f}", reading, style="bold")
        found.append(shown)
    return found


_LEFT: Final = ("figure", "what it counts", "about", "reading")
_INDENTED: Final = {"discriminative": "all"} | {
    name: f"  {name}" for name in ("state", "number", "action")
}
_ROWS: Final = (
    ("chair", "CHAIR", "nouns that name nothing there"),
    ("cover", "Cover", "things there that are named"),
    ("hal", "Hal", "descriptions that make something up"),
    ("cog", "Cog", "things expected, not there, yet named"),
)


def _style(name: str) -> str | None:
    return "bold" if name in ("chair", "hal") else None


def _interval(figure: Figure) -> str:
    around = figure.interval
    return "" if math.isnan(around.low) else f"{around.low:.1f}–{around.high:.1f}"


def _cell(figure: Figure, width: int) -> Any:
    from rich.text import Text

    below = f"\n{_interval(figure)}" if width >= _ROOM else ""
    return Text.assemble(f"{figure.value:.1f}", (below, "dim"))


def _silent(share: float) -> Any:
    from rich.text import Text

    return Text(f"{share * 100:.1f}", style="red" if share > _TELLING else "")
