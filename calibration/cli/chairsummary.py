"""How ``sightline evaluate chair`` shows what it found."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ..objects.captionfile import CaptionFile, Matched
    from ..objects.chair import Chair, Labelled
    from ..objects.lemmas import Lemmas

FEW: Final = 30
"""Below this many captions, intervals are said to be rough."""


def limitations(
    file: CaptionFile, matched: Matched, labelled: Sequence[Labelled], *, lemmas: Lemmas | None
) -> list[str]:
    """What a reader of the figures must know."""
    from ..objects.captionfile import lines_of
    from ..objects.nltklemmas import INSTALL

    count = len(labelled)
    empty = [caption for caption, _ in matched.captions if not caption.text.strip()]
    notes = []
    if count < FEW:
        notes.append(f"Only {count} captions: the intervals are rough. Give at least {FEW}.")
    if empty:
        notes.append(
            f"{len(empty)} of {count} captions are empty ({lines_of(empty)}). They count, without "
            f"mentions: they lower CHAIR_S and recall."
        )
    if not any(one.mentions for one in labelled):
        notes.append("No caption names an object. Is it the right lexicon (--lexicon)?")
    if file.failures:
        notes.append(f"{file.failures} images have no caption, for captioning failed: left out.")
    if matched.unannotated:
        notes.append(
            f"{len(matched.unannotated)} captions of images without annotations "
            f"({lines_of(matched.unannotated)}) are left out."
        )
    unknown = sum(one.ended is None for one in labelled)
    if unknown:
        notes.append(f"Of {unknown} captions nobody knows whether they were cut.")
    if lemmas is not None:
        notes.append(
            "The official script also takes for true what people's captions of an image name. If "
            "the annotations are COCO's instances alone, CHAIR is higher here than published."
        )
    if lemmas is not None and lemmas.name != "nltk":
        notes.append(
            "The captions are read by built-in rules. On captions that they were not made for, "
            "about 1 in 50 may have a mention more or less than the official script finds. To "
            f"read exactly as it does, install NLTK's data: {INSTALL}"
        )
    return notes


_ROWS: Final = (
    ("chair_s", "CHAIR_S", "captions that make something up"),
    ("chair_i", "CHAIR_I, mentions", "mentions that are made up"),
    ("chair_i_unique", "CHAIR_I, objects", "each object of a caption once"),
    ("recall", "recall", "objects there that are named"),
    ("precision", "precision", "objects named that are there"),
    ("f1", "F1", "of recall and precision"),
    ("rep_2", "Rep-2", "word pairs said before"),
    ("dist_1", "Dist-1", "words new to their caption"),
    ("truncated", "cut", "captions cut short"),
)


def figures(found: Chair) -> dict[str, dict[str, float | None]]:
    """All figures with their intervals; ``None`` where one is not defined."""
    known = {name: value for name, value in asdict(found).items() if isinstance(value, dict)}
    ended = known.pop("ended")
    known["truncated"] = {
        "value": 1 - ended["value"],
        "low": 1 - ended["high"],
        "high": 1 - ended["low"],
    }
    return {
        name: {key: value if math.isfinite(value) else None for key, value in figure.items()}
        for name, figure in known.items()
    }


def table(found: Chair, *, lemmas: Lemmas | None) -> Table:
    """The figures for people; ``lemmas`` if the official script's mentions were counted."""
    from rich.table import Table

    how = "as sightline counts"
    if lemmas is not None:
        by = "NLTK" if lemmas.name == "nltk" else "built-in rules"
        how = f"as the official script counts, read by {by}"
    shown = Table(
        title=f"{found.captions:,} captions, {how}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    shown.add_column("figure")
    shown.add_column("value", justify="right")
    shown.add_column("95% interval", justify="right")
    shown.add_column("what it counts", style="dim")
    known = figures(found)
    for name, title, meaning in _ROWS:
        values = [known[name][key] for key in ("value", "low", "high")]
        percent = ["unknown" if value is None else f"{value:.1%}" for value in values]
        interval = "" if values[1] is None else f"{percent[1]} - {percent[2]}"
        style = "bold" if name.startswith("chair") else None
        shown.add_row(title, percent[0], interval, meaning, style=style)
    for name, title in (("length", "words a caption"), ("mentions", "mentions a caption")):
        figure = getattr(found, name)
        shown.add_row(title, f"{figure.value:.1f}", f"{figure.low:.1f} - {figure.high:.1f}", "")
    return shown
