"""What detectors cost: seconds to fit a table, microseconds to score one mention.

::

    python tests/benchmarks/bench_detectors.py --shape small --out detectors.json

A script, not a timed test: what it prints depends on the machine. The mentions are random, of the
small model's shape (27,000 mentions, 12 layers of 6 heads) or of LLaVA-1.5-7B's (20,000 mentions,
32 layers of 32 heads). Scoring one mention is timed as the monitor does it: from its evidence to
columns to a score.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path

import click
import numpy as np
from sightline.detectors.detector import Detector
from sightline.detectors.evidence import SEGMENTS, Evidence
from sightline.detectors.mentions import MentionEvidence, Mentions
from sightline.detectors.named import DETECTORS, detector

SHAPES = {"small": (27_000, 12, 6), "7b": (20_000, 32, 32)}
PER_CAPTION = 8


def made_up(count: int, layers: int, heads: int) -> tuple[Mentions, np.ndarray, np.ndarray]:
    """Mentions, labels and images; heads that go together, as real ones do, and see a little."""
    rng = np.random.default_rng(0)
    index = np.arange(count) % PER_CAPTION
    labels = (rng.random(count) < (1 + index) / 14).astype(np.int64)
    width = layers * heads * len(SEGMENTS)
    common = rng.normal(size=(count, 24)).astype(np.float32)
    logits = common @ rng.normal(0, 0.3, (24, width)).astype(np.float32)
    logits += rng.normal(size=(count, width)).astype(np.float32)
    logits -= 0.1 * index[:, None].astype(np.float32)
    logits -= 0.1 * labels[:, None] * (rng.random(width) < 0.2).astype(np.float32)
    masses = np.exp(logits).reshape(count, layers, heads, len(SEGMENTS)).astype(np.float32)
    masses /= masses.sum(axis=-1, keepdims=True)
    single = [rng.random(count).astype(np.float32) for _ in range(4)]
    mentions = Mentions(
        layers=tuple(range(layers)),
        object=rng.choice([f"object {number}" for number in range(80)], count),
        index=index,
        word=3 + 5 * index,
        repeats=(rng.random(count) < 0.1).astype(np.int64),
        masses=masses,
        naming=masses,
        log_prob=-single[0],
        entropy=single[1],
        margin=single[2],
        confidence=single[3],
        contributions=np.zeros((count, layers), np.float32),
    )
    return mentions, labels, np.arange(count) // PER_CAPTION


def one_of(mentions: Mentions) -> MentionEvidence:
    """The first mention as the monitor hands it over."""
    row = Evidence(
        mentions.layers,
        mentions.masses[0],
        float(mentions.log_prob[0]),
        float(mentions.entropy[0]),
        float(mentions.margin[0]),
        confidence=float(mentions.confidence[0]),
    )
    return MentionEvidence(str(mentions.object[0]), 0, 3, 0, row, row)


def microseconds(found: Detector, mention: MentionEvidence, repeats: int) -> dict[str, float]:
    """Median and quartiles of scoring one mention."""
    found.score(Mentions.of([mention]))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        found.score(Mentions.of([mention]))
        times.append((time.perf_counter() - start) * 1e6)
    low, median, high = statistics.quantiles(times, n=4)
    return {"median": round(median, 1), "q1": round(low, 1), "q3": round(high, 1)}


@click.command()
@click.option("--shape", type=click.Choice([*SHAPES]), default="small", show_default=True)
@click.option("--detector", "names", multiple=True, type=click.Choice([*DETECTORS]))
@click.option("--repeats", type=click.IntRange(4), default=500, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here too.")
def main(*, shape: str, names: tuple[str, ...], repeats: int, out: Path | None) -> None:
    """Measure and print."""
    count, layers, heads = SHAPES[shape]
    mentions, labels, images = made_up(count, layers, heads)
    mention = one_of(mentions)
    results: dict[str, object] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "mentions": count,
        "layers": layers,
        "heads": heads,
    }
    for name in names or DETECTORS:
        start = time.perf_counter()
        found = detector(name).fit(mentions, labels, images)
        seconds = round(time.perf_counter() - start, 2)
        score = microseconds(found, mention, repeats)
        results[name] = {"fit, seconds": seconds, "one mention, microseconds": score}
        click.echo(f"{name}: fitted in {seconds} s, {score['median']} us a mention")
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
