"""Caption images, and report which of the objects named are likely made up."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .options import (
    calibration_option,
    device_option,
    lexicon_option,
    max_new_tokens_option,
    model_option,
    prompt_option,
    retries_option,
)

if TYPE_CHECKING:
    from ..policy.policy import Policy
    from ..session import Monitor
    from .records import RecordFile


TINY: Final = 20_000_000
"""Models with fewer parameters run on one thread."""


@click.command(
    epilog="""\b
Examples:
  sightline caption photo.jpg
  sightline caption photos/ --out reports.jsonl
  sightline caption photos/ --out part2.jsonl --batch-size 8 --shard 2/4
  sightline caption photos/ --out reports.jsonl --retry-failed --retries 5
  sightline caption photos/ --out reports.jsonl --workers 4
  sightline caption photos/ --out reports.jsonl --workers 8 --gpus-per-worker 1 --batch-size 16
  sightline caption photo.jpg --json | jq '.mentions[] | [.word, .probability, .flagged]'
  sightline caption photo.jpg --model llava-hf/llava-1.5-7b-hf --device cuda
  sightline caption photos/ --model my-model/ --calibration artifact/
  sightline caption photo.jpg --policy redecode
  sightline caption photos/ --inside --out reports.jsonl
  sightline caption photos/ --policy stop --threshold 0.4 --json | jq '.actions'
  sightline caption photos/ --policy calibrated --json | jq '.calibration.certificate.words'

\b
Output:
  On a terminal, the caption as it is written, its objects coloured by how likely they are made
  up, or, without a calibration, by attention to the image.
  Under a policy that acts, it comes sentence by sentence, and nothing is ever taken back; below it
  is what was done.
  In a pipe, or with --json, one JSON report a line. Progress and errors go to stderr.
  An image that fails has a line of its own ("kind": "failure") and does not stop the others.

\b
Exit codes:
  0    every image was captioned
  1    nothing was captioned, or a report could not be written
  2    the command line is wrong
  3    some images were captioned and others failed
  130  interrupted; finished reports are kept
"""
)
@click.argument("paths", metavar="IMAGE_OR_FOLDER...", nargs=-1, required=True)
@model_option
@prompt_option
@max_new_tokens_option
@click.option(
    "--layers",
    metavar="FIRST-LAST",
    help="Decoder layers that SVAR sums over, counted from 0; by default the calibration's, else "
    "the published range of the model, else one scaled to its depth.",
)
@calibration_option
@click.option(
    "--policy",
    type=click.Choice(["observe", "flag", "redecode", "drop", "stop", "calibrated"]),
    default="flag",
    show_default=True,
    help="What to do about flagged objects: nothing, say so, write the sentence again without "
    "them, leave the sentence out, or end the caption before it; or what was certified with the "
    "calibration.",
)
@click.option(
    "--threshold",
    type=float,
    help="The score from which objects are flagged, in place of the calibration's, whose promise "
    "is given up with it.",
)
@click.option(
    "--allow-other-model",
    is_flag=True,
    help="Use a calibration made on other weights; every report then says so.",
)
@lexicon_option
@click.option(
    "--inside",
    is_flag=True,
    help="Look at each finished caption again, in one more pass, and put into its report where "
    "each noun looked in the picture, layer by layer, and what the picture's tokens read as. "
    "Reports grow by some 5 KB a noun for the small model, and 50 for LLaVA-1.5-7B.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append the reports to this file, one JSON line each. Where it holds some of these images "
    "already, go on with the others: the same command takes up a job that was killed.",
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Try the images again whose failure is in --out.",
)
@retries_option
@click.option(
    "--shard",
    metavar="I/N",
    help="Caption every N-th image, beginning with the I-th: N machines share a folder, each with "
    "an --out of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout, on a terminal too.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Images captioned at once; with more than one, nothing is shown while it is written. Of "
    "neighbours those go together whose prompts are equally long; reports keep the images' order.",
)
@device_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Caption with so many processes, each with a model of its own, by Ray Data: on this "
    "machine, or in the cluster of --ray. The reports are the same.",
)
@click.option(
    "--gpus-per-worker",
    type=click.FloatRange(min=0),
    help="GPUs of each of the --workers; 0.5 where two share one. None by default: they caption "
    "on the CPU.",
)
@click.option(
    "--ray",
    metavar="HOST:PORT",
    help="A Ray cluster that runs, for --workers on many machines; 'auto' is the one that this "
    "machine belongs to.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Refuse larger images; 64,000,000 by default.",
)
@click.pass_context
def caption(
    ctx: click.Context,
    *,
    paths: tuple[str, ...],
    model: str,
    prompt: str | None,
    max_new_tokens: int,
    layers: str | None,
    calibration: Path | None,
    policy: str,
    threshold: float | None,
    allow_other_model: bool,
    lexicon: str | None,
    inside: bool,
    out: Path | None,
    retry_failed: bool,
    retries: int,
    shard: str | None,
    as_json: bool,
    batch_size: int,
    device: str | None,
    workers: int | None,
    gpus_per_worker: float | None,
    ray: str | None,
    max_pixels: int | None,
) -> None:
    """Caption images, and report which of the objects named are likely made up."""
    from rich.console import Console

    from ..distributed.captioning import Captioning
    from ..distributed.cluster import Workers
    from ..distributed.run import DistributedRun
    from ..errors import InputError, SightlineError
    from ..jobs.retries import Retries
    from ..models.images import MAX_PIXELS, find_images
    from ..models.prompts import DEFAULT_PROMPT
    from .job import Shard
    from .records import RecordFile
    from .run import CaptionRun

    files: Sequence[Path] = find_images(paths)
    if shard is not None:
        try:
            files = Shard.parse(shard).take(files)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--shard") from error
    if workers is None and (ray is not None or gpus_per_worker is not None):
        raise click.UsageError("--ray and --gpus-per-worker are about --workers: say how many.")
    if retry_failed and out is None:
        raise click.UsageError("--retry-failed needs the file with the failures: give --out.")
    if not files:
        raise click.ClickException(
            f"No image files in {', '.join(paths)}. Give image files, or a folder that holds some."
        )
    with ExitStack() as stack:
        record_file: RecordFile | None = None
        if out is not None:
            try:
                record_file = stack.enter_context(RecordFile(out))
                if retry_failed:
                    record_file.drop_failures()
            except InputError as error:
                raise click.ClickException(str(error)) from error
            except OSError as error:
                raise click.ClickException(f"{out} cannot be written: {error}") from error
        log = Console(stderr=True, highlight=False)
        if workers is not None:
            captioning = Captioning(
                model=model,
                device=device,
                prompt=DEFAULT_PROMPT if prompt is None else prompt,
                max_new_tokens=max_new_tokens,
                max_pixels=max_pixels or MAX_PIXELS,
                layers=layers,
                lexicon=lexicon,
                calibration=calibration,
                allow_other_model=allow_other_model,
                policy=policy,
                threshold=threshold,
                inside=inside,
                retries=retries,
            )
            gpus = gpus_per_worker or 0.0
            crew = DistributedRun(
                captioning,
                workers=Workers.here(workers, gpus=gpus)
                if ray is None
                else Workers(count=workers, gpus=gpus),
                address=ray,
                record_file=record_file,
                log=log,
            )
            try:
                ctx.exit(crew.all(files, batch_size=batch_size))
            except SightlineError as error:
                raise click.ClickException(str(error)) from error
        monitor = load_monitor(
            model,
            device=device,
            layers=layers,
            lexicon=lexicon,
            calibration=calibration,
            allow_other_model=allow_other_model,
        )
        run = CaptionRun(
            monitor=monitor,
            policy=policy_asked(policy, threshold, monitor),
            prompt=DEFAULT_PROMPT if prompt is None else prompt,
            max_new_tokens=max_new_tokens,
            max_pixels=max_pixels or MAX_PIXELS,
            record_file=record_file,
            console=None if as_json or not sys.stdout.isatty() else Console(),
            log=log,
            retries=Retries(retries),
            inside=inside,
        )
        try:
            code = run.all(files, batch_size=batch_size)
        except InputError as error:
            raise click.ClickException(str(error)) from error
        ctx.exit(code)


def policy_asked(name: str, threshold: float | None, monitor: Monitor) -> Policy | None:
    """What the command line asks for; ``None`` where it asks for nothing but flags."""
    from ..errors import OptionError
    from ..judging.certified import CALIBRATED, resolve

    if name == "flag" and threshold is None:
        return None
    if name == CALIBRATED and threshold is not None:
        raise click.UsageError(
            "--policy calibrated has a threshold of its own, which what it promises rests on. "
            "Leave --threshold out, or name another policy."
        )
    try:
        policy = resolve(name, monitor.calibration)
        policy = policy if name == CALIBRATED else replace(policy, threshold=threshold)
    except OptionError as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--threshold") from error
    if (policy.acts or threshold is not None) and monitor.calibration is None:
        raise click.ClickException(
            f"A policy needs verdicts to act on, but {monitor.name} has no calibration. Give one "
            f"with --calibration, or leave --policy and --threshold out."
        )
    return policy


def load_monitor(
    model: str,
    *,
    device: str | None = None,
    layers: str | None = None,
    lexicon: str | None = None,
    calibration: Path | None = None,
    allow_other_model: bool = False,
) -> Monitor:
    """The monitor that the command line asks for; what is wrong with it ends the command.

    Without ``calibration`` it has the one that comes with the model, if any does.
    """
    import torch
    from transformers.utils import logging

    from ..errors import SightlineError
    from ..session import Monitor

    if not sys.stderr.isatty() or model == "small":
        logging.disable_progress_bar()
    try:
        options: dict[str, Any] = {} if calibration is None else {"calibration": calibration}
        monitor = Monitor.from_pretrained(
            model,
            device=device,
            layers=layers,
            lexicon=lexicon,
            allow_other_model=allow_other_model,
            **options,
        )
    except (SightlineError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if monitor.model.num_parameters() < TINY:
        # Handing such small tensors to several threads costs more than it saves, and ten times
        # the whole where the cores are busy. The process is the command's own.
        torch.set_num_threads(1)
    return monitor
