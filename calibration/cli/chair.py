"""CHAIR: which objects captions name that their images do not hold."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ...monitor.lexicon import Lexicon
    from ..captionfile import Caption, CaptionFile, Matched
    from ..objects import Chair, Labelled

FEW: Final = 30
"""Below this many captions, intervals are said to be rough."""

SHOWN: Final = 8
"""How many of the objects made up are shown."""


@click.command(
    epilog="""\b
Examples:
  sightline caption photos/ --out reports.jsonl
  sightline evaluate chair reports.jsonl --annotations instances_val2014.json
  sightline evaluate chair captions.jsonl --annotations objects.json --json | jq .figures
  sightline evaluate chair captions.jsonl --annotations instances_val2014.json --parity

\b
FILE, one JSON object a line:
  reports of `sightline caption`, whose image is found by its file name, or
  {"image_id": 139, "caption": "A living room with a TV and a chair."}
ANNOTATIONS:
  COCO's instances.json, or {"139": ["tv", "chair", "person"], "285": ["bear"]}

\b
Output:
  CHAIR_S, CHAIR_I (all mentions; each object once), recall, precision, F1, repetition, length and
  truncation, with 95% intervals from redrawing images. With --json, one JSON object on stdout.

\b
Exit codes:
  0    evaluated
  1    the captions or the annotations cannot be used; the message says why
  2    the command line is wrong
"""
)
@click.argument(
    "captions", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--annotations",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Which objects are in which image.",
)
@click.option(
    "--parity",
    is_flag=True,
    help="Count as the official CHAIR script does, quirks included, to compare with published "
    "figures. COCO's objects only.",
)
@click.option(
    "--lexicon",
    metavar="NAME_OR_FILE",
    default="coco",
    show_default=True,
    help="Which words name which object: coco, small or a file.",
)
@click.option(
    "--skip-unannotated",
    is_flag=True,
    help="Leave out captions of images without annotations instead of refusing them.",
)
@click.option(
    "--details",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what each caption names and makes up to this file, one JSON line each.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON on stdout.")
def chair(
    *,
    captions: Path,
    annotations: Path,
    parity: bool,
    lexicon: str,
    skip_unannotated: bool,
    details: Path | None,
    as_json: bool,
) -> None:
    """Hold captions against the objects in their images: CHAIR and what keeps it honest."""
    from rich.console import Console

    from ...monitor.lexicon import Lexicon, LexiconError
    from ..annotations import AnnotationError, Annotations
    from ..captionfile import CaptionError, CaptionFile, match
    from ..objects import chair as measure

    if parity and lexicon != "coco":
        raise click.UsageError(
            f"--parity counts COCO's objects by the official list, --lexicon must be coco, was: "
            f"{lexicon}."
        )
    try:
        words = Lexicon.load(lexicon)
        file = CaptionFile.load(captions)
        known = Annotations.load(annotations, words)
        matched = match(file.captions, known, skip_unannotated=skip_unannotated)
    except (LexiconError, CaptionError, AnnotationError) as error:
        raise click.ClickException(str(error)) from error
    log = Console(stderr=True, highlight=False)
    labelled = _label(matched.captions, None if parity else words, log)
    if details is not None:
        try:
            details.write_text(_details(matched, labelled), encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{details} cannot be written: {error}") from error
    found, made_up = measure(labelled), _made_up(labelled)
    notes = _limitations(file, matched, labelled, parity=parity)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "version": 1,
                    "kind": "chair",
                    "mode": "official" if parity else "sightline",
                    "lexicon": words.name,
                    "file": str(captions),
                    "annotations": {
                        "file": str(annotations),
                        "sha256": known.sha256,
                        "images": len(known.objects),
                    },
                    "captions": found.captions,
                    "empty": sum(not caption.text.strip() for caption, _ in matched.captions),
                    "left_out": {
                        "failures": file.failures,
                        "unannotated": len(matched.unannotated),
                    },
                    "figures": _figures(found),
                    "made_up": dict(made_up),
                    "limitations": notes,
                }
            )
        )
        return
    console = Console(highlight=False)
    console.print(_table(found, parity=parity))
    if made_up:
        most = ", ".join(f"{name} {count:,}" for name, count in made_up[:SHOWN])
        console.print(f"made up most: {most}", markup=False)
    for note in notes:
        console.print(f"Note: {note}", style="yellow", markup=False)


def _label(
    captions: Sequence[tuple[Caption, frozenset[str]]], lexicon: Lexicon | None, log: Any
) -> list[Labelled]:
    """Label all captions, officially without a lexicon."""
    from rich.progress import track

    from ..labelling import label
    from ..official import label_officially

    return [
        label_officially(caption.text, truth, ended=caption.ended)
        if lexicon is None
        else label(caption.text, truth, lexicon, ended=caption.ended)
        for caption, truth in track(
            captions, "label", console=log, disable=not sys.stderr.isatty(), transient=True
        )
    ]


def _made_up(labelled: Sequence[Labelled]) -> list[tuple[str, int]]:
    """How often each object is named that is not there, the most frequent first."""
    names = Counter(
        name
        for one in labelled
        for name, wrong in zip(one.mentions, one.hallucinated, strict=True)
        if wrong
    )
    return names.most_common()


def _details(matched: Matched, labelled: Sequence[Labelled]) -> str:
    """A JSON line for each caption, in the order of the file."""
    rows = (
        {
            "line": caption.line,
            "image": caption.image,
            "mentions": one.mentions,
            "hallucinated": one.hallucinated,
            "missed": sorted(one.truth - set(one.mentions)),
        }
        for (caption, _), one in zip(matched.captions, labelled, strict=True)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


def _limitations(
    file: CaptionFile, matched: Matched, labelled: Sequence[Labelled], *, parity: bool
) -> list[str]:
    """What a reader of the figures must know."""
    from ..captionfile import lines_of

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
    if parity:
        notes.append(
            "The official script also takes for true what people's captions of an image name. If "
            "the annotations are COCO's instances alone, CHAIR is higher here than published."
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


def _figures(found: Chair) -> dict[str, dict[str, float | None]]:
    """All figures with their intervals; ``None`` where one is not defined."""
    figures = {name: value for name, value in asdict(found).items() if isinstance(value, dict)}
    ended = figures.pop("ended")
    figures["truncated"] = {
        "value": 1 - ended["value"],
        "low": 1 - ended["high"],
        "high": 1 - ended["low"],
    }
    return {
        name: {key: value if math.isfinite(value) else None for key, value in figure.items()}
        for name, figure in figures.items()
    }


def _table(found: Chair, *, parity: bool) -> Table:
    from rich.table import Table

    how = "as the official script counts" if parity else "as sightline counts"
    table = Table(
        title=f"{found.captions:,} captions, {how}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("95% interval", justify="right")
    table.add_column("what it counts", style="dim")
    figures = _figures(found)
    for name, title, meaning in _ROWS:
        shown = [figures[name][key] for key in ("value", "low", "high")]
        percent = ["unknown" if value is None else f"{value:.1%}" for value in shown]
        interval = "" if shown[1] is None else f"{percent[1]} - {percent[2]}"
        style = "bold" if name.startswith("chair") else None
        table.add_row(title, percent[0], interval, meaning, style=style)
    for name, title in (("length", "words a caption"), ("mentions", "mentions a caption")):
        figure = getattr(found, name)
        table.add_row(title, f"{figure.value:.1f}", f"{figure.low:.1f} - {figure.high:.1f}", "")
    return table
