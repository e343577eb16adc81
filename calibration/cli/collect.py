"""Caption images with known objects, and record what the model did at each object."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ...monitor.cli.options import (
    device_option,
    lexicon_option,
    max_new_tokens_option,
    model_option,
    prompt_option,
    retries_option,
)
from .options import annotations_option, limit_option

if TYPE_CHECKING:
    from rich.console import Console

    from ...monitor.language.lexicon import Lexicon
    from ...monitor.session import Monitor
    from ..collecting.collected import CollectedCaption
    from ..collecting.summary import Summary

SOME: Final = 3


class Shard(click.ParamType[tuple[int, int]]):
    """``i/n``, counted from 1."""

    name = "shard"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two numbers."""
        match = re.fullmatch(r"(\d+)/(\d+)", str(value))
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            self.fail(f"must be i/n with i from 1 to n, such as 1/4, was: {value!r}", param, ctx)
        return int(match[1]), int(match[2])


@click.command(
    epilog="""\b
Examples:
  sightline scenes render --split calibration --n 2000 --out scenes/
  sightline calibrate collect --images scenes/ --annotations scenes/instances.json --out table/
\b
  sightline calibrate collect --model llava-hf/llava-1.5-7b-hf --device cuda --batch-size 16 \\
    --images val2014/ --annotations instances_val2014.json --limit 5000 --out table/

\b
On several machines, or GPUs, at once (each with the same images and batch size):
  sightline calibrate collect ... --shard 1/4 --out shard1/
  sightline calibrate collect ... --shard 2/4 --out shard2/     (and so on)
  sightline calibrate merge shard1/ shard2/ shard3/ shard4/ --out table/

\b
Images that failed, once their disk is back or the broken files are replaced:
  sightline calibrate collect ... --out table/ --retry-failed --retries 5

\b
Stopped at any moment, by whatever, the same command continues where it was: what is finished is
kept, and nothing is there twice. A batch for which there is no memory is halved. Where larger
pictures make longer prompts, those of one length are captioned together. The table is a folder of
Parquet files; its table.json says what each column means.

\b
Exit codes:
  0    every image was captioned
  1    nothing was captioned, or the table could not be written
  2    the command line is wrong
  3    some images were captioned and others failed
  130  interrupted; the same command continues
"""
)
@model_option
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A folder of images that the model was not trained on.",
)
@annotations_option(required=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The table's folder: new, or one to continue.",
)
@prompt_option
@max_new_tokens_option
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Images captioned at once.",
)
@click.option("--shard", type=Shard(), default="1/1", metavar="I/N", help="The I-th of N shares.")
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Try the images again whose failure is in the table.",
)
@retries_option
@limit_option
@click.option(
    "--lens",
    is_flag=True,
    help="Also read the image through the logit lens: internal confidence, and what each layer's "
    "attention adds.",
)
@lexicon_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout.")
@click.pass_context
def collect(
    ctx: click.Context,
    *,
    model: str,
    images: Path,
    annotations: Path,
    out: Path,
    prompt: str | None,
    max_new_tokens: int,
    batch_size: int,
    shard: tuple[int, int],
    retry_failed: bool,
    retries: int,
    limit: int | None,
    lens: bool,
    lexicon: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Caption images with known objects, and record what the model did at each object."""
    from rich.console import Console

    from ...monitor.errors import SightlineError
    from ...monitor.jobs.retries import Retries
    from ...monitor.language.lexicon import Lexicon
    from ...monitor.models.loading import SMALL
    from ...monitor.models.prompts import DEFAULT_PROMPT
    from ..collecting.captions import each_caption
    from ..collecting.collect import Collector
    from ..collecting.columns import arrow
    from ..collecting.content import data_hash
    from ..collecting.folder import TableFolder
    from ..collecting.sources import deal, find_sources
    from ..collecting.summary import Summary
    from ..objects.annotations import Annotations

    log = Console(stderr=True, highlight=False)
    try:
        arrow()
        words = Lexicon.load(lexicon or (SMALL if model == SMALL else "coco"))
        known = Annotations.load(annotations, words)
        sources = find_sources(images, known)[:limit]
        monitor = _monitor(model, device=device, lexicon=words, lens=lens)
        collector = Collector(
            monitor,
            known,
            prompt=DEFAULT_PROMPT if prompt is None else prompt,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            lens=lens,
            retries=Retries(retries),
            on_smaller=lambda size: log.print(
                f"Out of memory: batches of {size} for now.", style="yellow"
            ),
        )
        mine, share = deal(sources, number=shard[0], of=shard[1], batch_size=collector.window)
        with TableFolder(out, collector.header(share)) as folder:
            if retry_failed:
                log.print(f"{folder.drop_failures():,} images that failed are tried again.")
            done = folder.done()
            left = sum(source.image_id not in done for source in mine)
            if done:
                log.print(f"{len(done):,} images are in {out} already, {left:,} are left.")
            with _Progress(log, total=left) as progress:
                collector.run(mine, folder, on_captions=progress.add)
        summary = Summary.of(out, each_caption(out), data_hash(out))
    except KeyboardInterrupt:
        log.print("Interrupted; what is finished is kept. The same command continues.", style="red")
        ctx.exit(130)
    except (SightlineError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    _report(log, summary)
    click.echo(json.dumps(summary.to_dict()) if as_json else str(out))
    if summary.failed:
        ctx.exit(SOME if summary.captions else 1)


def _monitor(model: str, *, device: str | None, lexicon: Lexicon, lens: bool) -> Monitor:
    """The model, watched in all its layers and not judged."""
    import torch
    from transformers.utils import logging

    from ...monitor.cli.caption import TINY
    from ...monitor.session import Monitor

    if not sys.stderr.isatty() or model == "small":
        logging.disable_progress_bar()
    monitor = Monitor.from_pretrained(
        model, device=device, lexicon=lexicon, calibration=None, watch_layers="all", lens=lens
    )
    if monitor.model.num_parameters() < TINY:
        # Handing such small tensors to several threads costs more than it saves.
        torch.set_num_threads(1)
    return monitor


class _Progress:
    """A bar with images a second and the time left; in a pipe, a line now and then."""

    def __init__(self, log: Console, *, total: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._log = log
        self._total = total
        self._began = time.perf_counter()
        self._said = self._began
        self._done = 0
        self._failed = 0
        self._bar = Progress(
            TextColumn("caption"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=log,
            disable=not log.is_terminal,
        )
        self._task = self._bar.add_task("caption", total=total, speed="")

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def add(self, captions: Sequence[CollectedCaption]) -> None:
        """Count a part that is in the table."""
        self._done += len(captions)
        for one in captions:
            if one.error is not None:
                self._failed += 1
                self._log.print(f"{one.file}: {one.error}", style="red", markup=False)
        now = time.perf_counter()
        rate = self._done / (now - self._began)
        self._bar.update(self._task, completed=self._done, speed=f"{rate:.1f} images/s")
        if self._bar.disable and (now - self._said > 30 or self._done == self._total):
            self._said = now
            minutes, seconds = divmod(round((self._total - self._done) / rate), 60)
            self._log.print(
                f"{self._done:,} of {self._total:,} images, {rate:.1f} images/s, "
                f"{minutes}:{seconds:02d} left"
            )


def _report(log: Console, summary: Summary) -> None:
    from rich.table import Table

    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_row("captions", f"{summary.captions:,}")
    if summary.failed:
        rows.add_row("failed", f"{summary.failed:,}", style="red")
    rows.add_row("object mentions", f"{summary.mentions:,}")
    if summary.hallucinated is not None:
        rows.add_row("hallucinated", f"{summary.hallucinated:.1%}")
    for name, figure in (
        ("CHAIR_S", summary.chair_s),
        ("CHAIR_I", summary.chair_i),
        ("recall", summary.recall),
    ):
        if figure is not None:
            rows.add_row(name, f"{figure}")
    if summary.ended is not None:
        rows.add_row("ended by itself", f"{summary.ended:.1%}")
    log.print(rows)
    for limitation in summary.limitations:
        log.print(f"Warning: {limitation}", style="yellow", markup=False)
