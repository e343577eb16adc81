"""Whether certificates are kept: how often a policy breaks its promise, over many calibrations.

::

    sightline calibrate policy artifact/ ... --trials outcomes.jsonl
    python tests/benchmarks/bench_certificate.py outcomes.jsonl --out certificate.json

A study, not a timed test. Every policy has written about every image of the pool. From it
calibration sets are drawn again and again, by image; on each a policy is chosen and certified, as
`sightline calibrate policy` does it, and the images that the set left out are the truth. Beside it
stands what one would do without thinking: the policy that names most among those whose share on the
whole set is within the level, without a test.

The images left out are a sample themselves and complement the set: the distance between its share
and theirs spreads by a factor sqrt(N / (N - n)) more than its distance from the world's. With
--replace the images are drawn with replacement and the whole pool is the truth, which is then known
exactly: the exact test of the promise. Either way all draws share one pool.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest
from sightline.calibration.policies.candidates import NOTHING, Candidate
from sightline.calibration.policies.certification import Certified
from sightline.calibration.policies.certify import choose
from sightline.calibration.policies.outcomefile import Trial
from sightline.calibration.policies.promise import Promise
from sightline.calibration.policies.race import Limits
from sightline.calibration.policies.tried import Tried, line_up
from sightline.monitor.policy.policy import Policy

Choice = Callable[[Sequence[Tried], Promise, Limits, int], Candidate | None]


def certified(
    tried: Sequence[Tried], promise: Promise, limits: Limits, seed: int
) -> Candidate | None:
    """The policy that is certified."""
    found = choose(tried, promise, limits=limits, seed=seed)
    return found.candidate if isinstance(found, Certified) else None


def naive(tried: Sequence[Tried], promise: Promise, limits: Limits, seed: int) -> Candidate | None:
    """The policy that names most of those that keep to the level on the calibration set itself."""
    del seed
    nothing = tried[0].tally
    fine = [
        one
        for one in tried
        if one.tally.left <= promise.level
        and nothing.recall - one.tally.recall <= limits.recall_loss
    ]
    return max(fine, key=lambda one: one.tally.recall).candidate if fine else None


METHODS: dict[str, Choice] = {"certified": certified, "naive": naive}


@dataclass(frozen=True, slots=True)
class Kept:
    """How a way to choose policies did over all draws.

    Attributes:
        method: its name.
        promise: what was promised.
        draws: calibration sets.
        none: of these, for how many it found no policy.
        broken: of these, in how many more was left in truth than promised.
        rate: their share of all draws.
        low: lower end of its 95% interval (Clopper-Pearson).
        high: upper end.
        left: share left in truth, mean over the draws with a policy.
        recall: recall in truth, likewise.
        chosen: how often each policy was.
    """

    method: str
    promise: str
    draws: int
    none: int
    broken: int
    rate: float
    low: float
    high: float
    left: float | None
    recall: float | None
    chosen: dict[str, int]


def study(
    method: str,
    pool: Sequence[Tried],
    promise: Promise,
    limits: Limits,
    *,
    images: int,
    draws: int,
    replace: bool,
    seed: int,
) -> Kept:
    """Choose a policy on each calibration set, and hold it against the set's truth."""
    rng, count = np.random.default_rng(seed), len(pool[0].wrong)
    broken = 0
    chosen: dict[str, int] = {}
    reached = []
    for draw in range(draws):
        if replace:
            drawn, other = rng.integers(count, size=images), np.arange(count)
        else:
            order = rng.permutation(count)
            drawn, other = order[:images], order[images:]
        found = METHODS[method]([one.take(drawn) for one in pool], promise, limits, draw)
        if found is None:
            continue
        truth = next(one for one in pool if one.candidate == found).take(other).tally
        broken += truth.left > promise.level
        chosen[found.name] = chosen.get(found.name, 0) + 1
        reached.append((truth.left, truth.recall))
    interval = binomtest(broken, draws).proportion_ci(0.95)
    left, recall = np.mean(reached, axis=0).tolist() if reached else (None, None)
    return Kept(
        method,
        str(promise),
        draws,
        draws - len(reached),
        broken,
        broken / draws,
        float(interval.low),
        float(interval.high),
        left,
        recall,
        dict(sorted(chosen.items(), key=lambda one: -one[1])),
    )


def candidates_of(trial: Trial) -> tuple[Candidate, ...]:
    """The policies that were tried, doing nothing first."""
    return (
        NOTHING,
        *(
            Candidate(way["name"], Policy.from_json(way["policy"]))
            for way in trial.header.ways
            if way["kind"] == "acting"
        ),
    )


@click.command()
@click.argument("trials", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--left", "asked", multiple=True, help="Promises; by default several of each kind.")
@click.option("--confidence", default=0.9, show_default=True)
@click.option("--max-recall-loss", default=0.05, show_default=True)
@click.option("--most-mentions", "most", default=16, show_default=True)
@click.option("--images", default=500, show_default=True, help="Images in a calibration set.")
@click.option("--draws", default=400, show_default=True, help="Calibration sets.")
@click.option("--replace", is_flag=True, help="Draw with replacement; the pool is the truth.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file.")
def main(
    trials: Path,
    asked: tuple[str, ...],
    confidence: float,
    max_recall_loss: float,
    most: int,
    images: int,
    draws: int,
    replace: bool,
    seed: int,
    out: Path | None,
) -> None:
    """Redraw calibration sets from the outcomes in TRIALS, and count broken certificates."""
    started = time.perf_counter()
    promises = [
        Promise.parse(text, confidence=confidence, most=most)
        for text in asked
        or ("captions=0.15", "captions=0.17", "captions=0.2", "mentions=0.06", "mentions=0.08")
    ]
    trial = Trial.load(trials)
    candidates = candidates_of(trial)
    limits = Limits(recall_loss=max_recall_loss)
    found: list[Kept] = []
    count = trial.header.images - len(trial.unreadable)
    if count < 2 * images:
        raise click.UsageError(
            f"the truth needs as many images as a calibration set: {images} of {count}"
        )
    for promise in track(promises, console=Console(stderr=True), description="redraw"):
        pool = line_up(trial.outcomes, candidates, promise)
        found += [
            study(
                method,
                pool,
                promise,
                limits,
                images=images,
                draws=draws,
                replace=replace,
                seed=seed,
            )
            for method in METHODS
        ]
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("promise", "policy", "broken", "95%", "none", "left", "recall", "most often"):
        text = name in ("promise", "policy", "most often")
        shown.add_column(name, justify="left" if text else "right", no_wrap=True)
    for one in found:
        shown.add_row(
            one.promise,
            one.method,
            f"{one.rate:.1%}",
            f"{one.low:.1%}-{one.high:.1%}",
            f"{one.none / one.draws:.1%}",
            *("-" if x is None else f"{x:.1%}" for x in (one.left, one.recall)),
            next(iter(one.chosen), "-"),
        )
    console = Console(width=140)
    console.print(
        f"{draws} calibration sets of {images} images, drawn {'with' if replace else 'without'} "
        f"replacement out of {count}; {len(candidates)} policies; promised: broken in at most "
        f"{1 - confidence:.0%}",
        highlight=False,
    )
    console.print(shown)
    if out is not None:
        captions = line_up(trial.outcomes, candidates, Promise("captions", 0.5, confidence))
        mentions = line_up(trial.outcomes, candidates, Promise("mentions", 0.5, confidence))
        record = {
            "model": trial.header.model,
            "outcomes": hashlib.sha256(trials.read_bytes()).hexdigest(),
            "confidence": confidence,
            "max_recall_loss": max_recall_loss,
            "most_mentions": most,
            "pool": count,
            "images": images,
            "draws": draws,
            "replace": replace,
            "seed": seed,
            "mapie": version("mapie"),
            "python": platform.python_version(),
            "seconds": round(time.perf_counter() - started, 1),
            "policies": [
                {
                    "name": one.candidate.name,
                    "captions": one.tally.left,
                    "mentions": other.tally.left,
                    "recall": one.tally.recall,
                    "passes": one.tally.passes,
                }
                for one, other in zip(captions, mentions, strict=True)
            ],
            "results": [asdict(one) for one in found],
        }
        out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
