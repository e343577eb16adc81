"""POPE: whether a model says yes to objects that are not there."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ...monitor.cli.options import calibration_option, device_option, lexicon_option, model_option
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

    from ..benchmarks.questions import Split
    from ..benchmarks.replyfile import Item

MAX_NEW_TOKENS: Final = 32
"""Where answers are cut by default."""


@click.command(
    epilog="""\b
Examples:
  sightline evaluate pope coco_pope_random.json coco_pope_popular.json coco_pope_adversarial.json \\
    --images val2014/ --model llava-hf/llava-1.5-7b-hf --device cuda --out answers.jsonl \\
    --suffix "Answer the question using a single word or phrase."
  sightline evaluate pope coco_pope_random.json --answers random_answers.json
  sightline evaluate pope coco_pope_*.json --answers answers.jsonl --json | jq '.all.official.f1'
  sightline evaluate pope coco_pope_*.json --answers llava.jsonl --asked llava_pope_test.jsonl

\b
QUESTIONS, one JSON object a line, as POPE writes them:
  {"question_id": 1, "image": "COCO_val2014_000000310196.jpg",
   "text": "Is there a snowboard in the image?", "label": "yes"}
ANSWERS, one JSON object a line, in the questions' order or with their ids:
  {"question": "Is there a snowboard in the image?", "answer": "Yes, there is."}      as POPE does
  {"question_id": 1, "text": "Yes", "prompt": "..."}                                  as LLaVA does

\b
Output:
  Accuracy, precision, recall, F1 and the share of yes, for each file and over all, with 95%
  intervals from redrawing images; read in two ways. "official" is the reading of POPE's script,
  comparable with published figures: an answer without "No", "no" or "not" in its first sentence
  is a yes. "in words" wants a yes or a no to be said, and counts what says neither as unanswered.
  Where a calibration judged the answers, how many of the wrong ones it flagged.

\b
Stopped at any moment, the same command with --out goes on where it was. A question whose image
cannot be read has a line with an "error" in it; figures leave it out.

\b
Exit codes:
  0    evaluated
  1    the questions or the answers cannot be used, or nothing was answered; the message says why
  2    the command line is wrong
  3    evaluated, but some questions could not be asked
  130  interrupted; what is answered is kept in --out
"""
)
@click.argument(
    "questions",
    nargs=-1,
    required=True,
    metavar="QUESTIONS...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--answers",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What was answered: one file for each of QUESTIONS, in the same order, or one for all.",
)
@click.option(
    "--asked",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="LLaVA's file of questions, if its answers to several splits are in one file: tells by "
    "its categories which belong to which.",
)
@images_option
@model_option
@out_option
@retry_option
@suffix_option
@click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    default=MAX_NEW_TOKENS,
    show_default=True,
    help="Cut answers at this length.",
)
@batch_option
@calibration_option
@lexicon_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON on stdout.")
@click.pass_context
def pope(
    ctx: click.Context,
    *,
    questions: tuple[Path, ...],
    answers: tuple[Path, ...],
    asked: Path | None,
    images: Path | None,
    model: str,
    out: Path | None,
    retry_failed: bool,
    suffix: str,
    max_new_tokens: int,
    batch_size: int,
    calibration: Path | None,
    lexicon: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Ask whether objects are in images, and count what is said (POPE)."""
    check_options(
        given=bool(answers),
        images=images,
        out=out,
        retry_failed=retry_failed,
        name="--answers",
    )

    from rich.console import Console

    from ...monitor.cli.caption import load_monitor
    from ..benchmarks.answers import match
    from ..benchmarks.questions import load_splits
    from .popesummary import Summary, table

    log = Console(stderr=True, highlight=False)
    with ended_in_order(ctx, log, out), ExitStack() as stack:
        splits = load_splits(questions)
        if images is not None:
            monitor = load_monitor(model, device=device, lexicon=lexicon, calibration=calibration)
            written = answered(
                monitor,
                _items(splits, suffix),
                images=images,
                out=out,
                answer="answer",
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
                retry_failed=retry_failed,
                log=log,
            )
            answers = (stack.enter_context(written),)
        summary = Summary.of(splits, match(splits, answers, asked=asked))
    conclude(
        ctx,
        summary,
        lambda width: (table(summary, width=width), *summary.judged()),
        as_json=as_json,
    )


def _items(splits: Sequence[Split], suffix: str) -> list[Item]:
    """The questions as they are put, all splits in one job."""
    from ..benchmarks.replyfile import Item

    return [
        Item(
            image=question.image,
            prompt=f"{question.text}\n{suffix}" if suffix else question.text,
            fields={
                "question_id": question.number,
                "image": question.image,
                "question": f"{question.text}\n{suffix}" if suffix else question.text,
                "split": split.name,
            },
        )
        for split in splits
        for question in split.questions
    ]
