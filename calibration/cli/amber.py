"""AMBER: what a model makes up when it describes images, and when it is asked about them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ...monitor.cli.options import (
    calibration_option,
    device_option,
    lexicon_option,
    max_new_tokens_option,
    model_option,
)
from .asking import (
    answered,
    batch_option,
    check_options,
    conclude,
    ended_in_order,
    images_option,
    out_option,
    retry_option,
    suffix_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..benchmarks.amberdata import AmberData, Query, Task
    from ..benchmarks.ambernouns import Nouns
    from ..benchmarks.replyfile import Item

TASKS: Final = ("a", "g", "d", "de", "da", "dr")


@click.command(
    epilog="""\b
Examples:
  sightline evaluate amber responses.json --data AMBER/data
  sightline evaluate amber responses.json --data AMBER/data --spacy en_core_web_lg --json
  sightline evaluate amber --data AMBER/data --images AMBER/image --out responses.jsonl \\
    --model llava-hf/llava-1.5-7b-hf --device cuda \\
    --suffix "Answer the question using a single word or phrase."
  sightline evaluate amber --data AMBER/data --images AMBER/image --task g --out described.jsonl

\b
RESPONSES, a JSON list or an object a line:
  [{"id": 1, "response": "A lake with a boat."}, {"id": 1005, "response": "No"}]
DATA, AMBER's own folder: annotations.json, relation.json, safe_words.txt, metrics.txt and, to put
its queries or to draw intervals by image, query/.

\b
Output:
  Descriptions: CHAIR, Cover, Hal, Cog. Yes/no questions: accuracy, precision, recall and F1 over
  all and for existence, attributes (state, number, action) and relations. All as AMBER's script
  prints them, with 95% intervals from redrawing images. The script takes "Yes" and "No" alone for
  answers; "in words" also reads "No, there is no dog.", and counts what says neither. Both tasks
  together give the AMBER score: the mean of 100 - CHAIR and F1.
  What found the nouns, and what told synonyms, is said: the script needs NLTK's data and spaCy's
  en_core_web_lg for it.

\b
Stopped at any moment, the same command with --out goes on where it was. For AMBER's own script:
jq -s 'map({id, response})' responses.jsonl > responses.json

\b
Exit codes:
  0    evaluated
  1    the responses or AMBER's files cannot be used, or nothing was said; the message says why
  2    the command line is wrong
  3    evaluated, but some queries could not be put
  130  interrupted; what is said is kept in --out
"""
)
@click.argument(
    "responses",
    required=False,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="AMBER's folder data.",
)
@click.option(
    "--task",
    type=click.Choice(TASKS),
    default="a",
    show_default=True,
    help="What is asked of a model: all, generative, discriminative, or of the latter existence, "
    "attributes, relations.",
)
@images_option
@model_option
@out_option
@retry_option
@suffix_option
@max_new_tokens_option
@batch_option
@click.option(
    "--spacy",
    "pipeline",
    metavar="PIPELINE",
    help="A spaCy pipeline with word vectors that tells synonyms: en_core_web_lg, to compare with "
    "published figures. Without one, words of the same lemma are synonyms.",
)
@click.option(
    "--similarity",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="With --spacy: words are synonyms above this.",
)
@click.option(
    "--reading",
    type=click.Choice(["auto", "nltk", "built-in"]),
    default="auto",
    show_default=True,
    help="What finds nouns: NLTK's data, as in the script, or rules that come close. auto takes "
    "NLTK's where its data is installed.",
)
@calibration_option
@lexicon_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON on stdout.")
@click.pass_context
def amber(
    ctx: click.Context,
    *,
    responses: Path | None,
    data: Path,
    task: Task,
    images: Path | None,
    model: str,
    out: Path | None,
    retry_failed: bool,
    suffix: str,
    max_new_tokens: int,
    batch_size: int,
    pipeline: str | None,
    similarity: float,
    reading: str,
    calibration: Path | None,
    lexicon: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Hold descriptions and answers against what is in their images (AMBER)."""
    check_options(
        given=responses is not None,
        images=images,
        out=out,
        retry_failed=retry_failed,
        name="RESPONSES",
    )

    from rich.console import Console

    from ...monitor.cli.caption import load_monitor
    from ..benchmarks.amberdata import AmberData, load_queries
    from ..benchmarks.ambernouns import SameLemma, SpacyVectors
    from ..benchmarks.responses import Responses
    from .ambersummary import Summary, tables

    log = Console(stderr=True, highlight=False)
    with ended_in_order(ctx, log, out), ExitStack() as stack:
        known = AmberData.load(data)
        like = SameLemma() if pipeline is None else SpacyVectors(pipeline, threshold=similarity)
        nouns = _nouns(reading, known)
        if images is not None:
            queries = load_queries(data, task)
            monitor = load_monitor(model, device=device, lexicon=lexicon, calibration=calibration)
            written = answered(
                monitor,
                _items(queries, known, suffix),
                images=images,
                out=out,
                answer="response",
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
                retry_failed=retry_failed,
                log=log,
            )
            responses = stack.enter_context(written)
        assert responses is not None
        summary = Summary.of(Responses.load(responses, known), known, nouns, like)
    conclude(ctx, summary, lambda width: tables(summary, width=width), as_json=as_json)


def _nouns(reading: str, known: AmberData) -> Nouns:
    """The script's way to find nouns, or the one that comes close."""
    from ..benchmarks.ambernouns import BuiltInNouns, NltkNouns
    from ..objects.nltklemmas import NltkDataError, NltkLemmas

    if reading != "built-in":
        try:
            return NltkNouns(NltkLemmas.load())
        except NltkDataError as error:
            if reading == "nltk":
                raise click.ClickException(str(error)) from error
    return BuiltInNouns(known.vocabulary)


def _items(queries: Sequence[Query], known: AmberData, suffix: str) -> list[Item]:
    """The queries as they are put; what has a yes or no for an answer gets the suffix."""
    from ..benchmarks.amberdata import Fact
    from ..benchmarks.replyfile import Item

    return [
        Item(
            image=query.image,
            prompt=f"{query.text}\n{suffix}"
            if suffix and isinstance(known.annotation(query.number), Fact)
            else query.text,
            fields={"id": query.number, "image": query.image},
        )
        for query in queries
    ]
