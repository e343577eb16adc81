"""Try policies on images with known objects, and certify what the best of them leaves."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ...monitor.cli.options import device_option
from .options import annotations_option, limit_option

if TYPE_CHECKING:
    from ...detectors.calibrated import CalibratedDetector
    from ...monitor.session import Monitor
    from ..policies.candidates import Candidate
    from ..policies.outcomefile import Trial

NO_POLICY: Final = 4
"""Exit code if no policy keeps the promise."""

INTERRUPTED: Final = 130


@click.command(
    epilog="""\b
Examples:
  sightline scenes render --seed 10006000 --n 1500 --out fresh/
  sightline calibrate policy artifact/ --images fresh/ --annotations fresh/instances.json \\
    --left captions=0.2
  sightline calibrate policy artifact/ --images val/ --annotations instances.json \\
    --left mentions=0.05 --max-recall-loss 0.01 --max-cost 1.3 --workers 4
  sightline calibrate policy artifact/ ... --policies mine.json --json | jq .certificate.words
\b
  sightline caption photo.jpg --calibration artifact/ --policy calibrated

\b
Promises, after the policy has acted, the image as the unit:
  captions=0.2   at most 20% of the captions name an object that is not there
  mentions=0.05  at most 5% of the objects named are not there

\b
Every policy writes a caption of every image, and so does the model alone. On one half of
the images, policies are put aside that lose too much recall or cost too much, and the
others are put in order; on the other half they are tested in that order, the most
careful first, until one fails. Of those that pass, the one that names most is written
into the artifact. Images must be such as the detector was not fitted on, and policies
chosen before anyone looked at them.

\b
A file of policies is a JSON list, each with what is not as by default:
  [{"act": "stop", "threshold": 0.3},
   {"act": "redecode", "threshold": 0.3, "tries": [{"alpha": 2.0, "avoid": true}]}]

\b
Exit codes:
  0    a policy is certified, and in the artifact
  1    something went wrong; the artifact is as it was
  2    the command line is wrong
  4    no policy keeps the promise: the artifact is as it was, and why is said
  130  interrupted; the artifact is as it was, and the same command continues
"""
)
@click.argument("artifact", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A folder of images that neither the model nor the detector was fitted on.",
)
@annotations_option(required=True)
@click.option(
    "--left",
    metavar="NAME=LEVEL",
    required=True,
    help="What may be left at most: captions= or mentions=, see below.",
)
@click.option(
    "--confidence",
    type=float,
    default=0.9,
    show_default=True,
    help="Chance that the promise holds, over which images happened to be there.",
)
@click.option(
    "--policies",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The policies to try, a JSON list; by default four things to do at four thresholds.",
)
@click.option(
    "--max-recall-loss",
    type=float,
    default=0.02,
    show_default=True,
    help="Most recall a policy may lose against the model alone, on the choosing images.",
)
@click.option(
    "--max-cost",
    type=float,
    help="Most forward passes it may take, as a multiple of the model alone, on the same images.",
)
@click.option(
    "--most-mentions",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="For mentions=: objects of a caption that count, its first ones. The fewer, the fewer "
    "images do.",
)
@click.option(
    "--trials",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of all captions and what they cost, to continue and to look at; by default beside "
    "the artifact, with .outcomes.jsonl at its end.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes, each with the model.",
)
@limit_option
@click.option(
    "--model",
    metavar="NAME_OR_FOLDER",
    help="Where the model is; by default where the artifact's was.",
)
@click.option(
    "--lexicon",
    metavar="NAME_OR_FILE",
    help="Which words name which object; the one that the artifact was fitted with.",
)
@device_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split by image.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
@click.pass_context
def policy(
    ctx: click.Context,
    *,
    artifact: Path,
    images: Path,
    annotations: Path,
    left: str,
    confidence: float,
    policies: Path | None,
    max_recall_loss: float,
    max_cost: float | None,
    most_mentions: int,
    trials: Path | None,
    workers: int,
    limit: int | None,
    model: str | None,
    lexicon: str | None,
    device: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Choose a policy for flags of an ARTIFACT, and certify what is left after it has acted.

    ARTIFACT is the folder that `sightline calibrate fit` wrote; the policy is added to it.
    """
    from ...detectors.calibrated import CalibratedDetector
    from ...monitor.errors import SightlineError
    from ..policies.candidates import grid, read_candidates
    from ..policies.certification import Certified
    from ..policies.certify import certify
    from ..policies.crew import WorkerError
    from ..policies.promise import Promise
    from ..policies.proof import require_mapie
    from ..policies.race import Limits
    from .policysummary import record, show

    try:
        promise = Promise.parse(left, confidence=confidence, most=most_mentions)
        limits = Limits(recall_loss=max_recall_loss, passes=max_cost)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    out = trials or artifact.absolute().with_name(f"{artifact.absolute().name}.outcomes.jsonl")
    try:
        require_mapie()
        calibrated = CalibratedDetector.load(artifact)
        candidates = (
            grid()
            if policies is None
            else read_candidates(policies, threshold=calibrated.threshold)
        )
        load = partial(
            load_monitor,
            model or calibrated.conditions.model.name,
            artifact.absolute(),
            device=device,
            lexicon=lexicon,
        )
        trial = _try(
            calibrated,
            load,
            candidates,
            images,
            annotations,
            out,
            workers=workers,
            limit=limit,
        )
        found = certify(trial.outcomes, candidates, promise, limits=limits, seed=seed)
        if isinstance(found, Certified):
            calibrated.with_certificate(found.certificate).save(artifact)
    except (SightlineError, ValueError, ImportError, OSError, WorkerError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo(
            f"Interrupted; captions are kept in {out}, and the same command continues.", err=True
        )
        ctx.exit(INTERRUPTED)
    if as_json:
        click.echo(json.dumps(record(found, trial, artifact, out), allow_nan=False))
    else:
        show(found, trial, artifact, out)
    if not isinstance(found, Certified):
        click.echo(f"{found} {artifact} is as it was.", err=True)
        ctx.exit(NO_POLICY)


def load_monitor(
    model: str, artifact: Path, *, device: str | None = None, lexicon: str | None = None
) -> Monitor:
    """The model, judged by the artifact; in a worker process, too."""
    import torch
    from transformers.utils import logging

    from ...monitor.cli.caption import TINY
    from ...monitor.session import Monitor

    logging.disable_progress_bar()
    monitor = Monitor.from_pretrained(model, device=device, lexicon=lexicon, calibration=artifact)
    if monitor.model.num_parameters() < TINY:
        # Handing such small tensors to several threads costs more than it saves.
        torch.set_num_threads(1)
    return monitor


def _try(
    calibrated: CalibratedDetector,
    load: partial[Monitor],
    candidates: tuple[Candidate, ...],
    images: Path,
    annotations: Path,
    out: Path,
    *,
    workers: int,
    limit: int | None,
) -> Trial:
    """What every candidate makes of every image, under the artifact's conditions."""
    from rich.console import Console

    from ..collecting.sources import find_sources
    from ..objects.annotations import Annotations
    from ..policies.candidates import NOTHING
    from ..policies.trials import run_ways, subjects
    from ..policies.writing import Asked
    from .progress import counted

    log = Console(stderr=True, highlight=False)
    conditions = calibrated.conditions
    monitor = load()
    if conditions.lexicon and monitor.lexicon.name != conditions.lexicon:
        raise ValueError(
            f"A policy must be tried with the lexicon that the artifact was fitted with, "
            f"{conditions.lexicon!r}, this one is {monitor.lexicon.name!r}. Give it with --lexicon."
        )
    known = Annotations.load(annotations, monitor.lexicon)
    tried = subjects(find_sources(images, known)[:limit], known)
    for line in monitor.limits:
        log.print(f"Note: {line}", style="yellow", markup=False)
    most = conditions.settings.get("max_new_tokens")
    asked = (
        Asked(prompt=conditions.prompt, max_new_tokens=most)
        if isinstance(most, int)
        else Asked(prompt=conditions.prompt)
    )
    with counted("images", log) as progress:
        return run_ways(
            monitor,
            [one.way for one in (NOTHING, *candidates)],
            tried,
            out,
            asked=asked,
            annotations=known.sha256,
            workers=workers,
            load=load,
            on_image=progress,
        )
