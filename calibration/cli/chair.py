"""CHAIR: which objects captions name that their images do not hold."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...monitor.language.lexicon import Lexicon
    from ..objects.captionfile import Caption, Matched
    from ..objects.chair import Labelled
    from ..objects.lemmas import Lemmas

SHOWN: Final = 8
"""How many of the objects made up are shown."""


@click.command(
    epilog="""\b
Examples:
  sightline caption photos/ --out reports.jsonl
  sightline evaluate chair reports.jsonl --annotations instances_val2014.json
  sightline evaluate chair captions.jsonl --annotations objects.json --json | jq .figures
  sightline evaluate chair captions.jsonl --annotations instances_val2014.json --parity
  sightline evaluate chair captions.jsonl --annotations objects.json --parity --reading nltk

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
    "--reading",
    type=click.Choice(["auto", "nltk", "built-in"]),
    default="auto",
    show_default=True,
    help="What tells nouns from verbs for --parity: NLTK's data, as in the script, or rules that "
    "come close. auto takes NLTK's where its data is installed; the output says which it was.",
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
    reading: str,
    lexicon: str,
    skip_unannotated: bool,
    details: Path | None,
    as_json: bool,
) -> None:
    """Hold captions against the objects in their images: CHAIR and what keeps it honest."""
    from rich.console import Console

    from ...monitor.language.lexicon import Lexicon, LexiconError
    from ..objects.annotations import AnnotationError, Annotations
    from ..objects.captionfile import CaptionError, CaptionFile, match
    from ..objects.chair import chair as measure
    from .chairsummary import figures, limitations, table

    if parity and lexicon != "coco":
        raise click.UsageError(
            f"--parity counts COCO's objects by the official list, --lexicon must be coco, was: "
            f"{lexicon}."
        )
    if reading != "auto" and not parity:
        raise click.UsageError(f"--reading {reading} is for --parity: give both or neither.")
    lemmas = _lemmas(reading) if parity else None
    try:
        words = Lexicon.load(lexicon)
        file = CaptionFile.load(captions)
        known = Annotations.load(annotations, words)
        matched = match(file.captions, known, skip_unannotated=skip_unannotated)
    except (LexiconError, CaptionError, AnnotationError) as error:
        raise click.ClickException(str(error)) from error
    log = Console(stderr=True, highlight=False)
    labelled = _label(matched.captions, words if lemmas is None else lemmas, log)
    if details is not None:
        try:
            details.write_text(_details(matched, labelled), encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{details} cannot be written: {error}") from error
    found, made_up = measure(labelled), _made_up(labelled)
    notes = limitations(file, matched, labelled, lemmas=lemmas)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "version": 1,
                    "kind": "chair",
                    "mode": "official" if parity else "sightline",
                    "reading": None if lemmas is None else lemmas.name,
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
                    "figures": figures(found),
                    "made_up": dict(made_up),
                    "limitations": notes,
                }
            )
        )
        return
    console = Console(highlight=False)
    console.print(table(found, lemmas=lemmas))
    if made_up:
        most = ", ".join(f"{name} {count:,}" for name, count in made_up[:SHOWN])
        console.print(f"made up most: {most}", markup=False)
    for note in notes:
        console.print(f"Note: {note}", style="yellow", markup=False)


def _lemmas(reading: str) -> Lemmas:
    """The official script's reading of captions, or the one that comes close."""
    from ..objects.nltklemmas import NltkDataError, NltkLemmas
    from ..objects.official import built_in

    if reading != "built-in":
        try:
            return NltkLemmas.load()
        except NltkDataError as error:
            if reading == "nltk":
                raise click.ClickException(str(error)) from error
    return built_in()


def _label(
    captions: Sequence[tuple[Caption, frozenset[str]]], how: Lexicon | Lemmas, log: Any
) -> list[Labelled]:
    """Label all captions: by a lexicon as sightline does, or by lemmas as the script does."""
    from rich.progress import track

    from ...monitor.language.lexicon import Lexicon
    from ..objects.labelling import label
    from ..objects.official import label_officially

    return [
        label(caption.text, truth, how, ended=caption.ended)
        if isinstance(how, Lexicon)
        else label_officially(caption.text, truth, ended=caption.ended, lemmas=how)
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
