"""What labelling costs: seconds per 1,000 captions, as the monitor spots and as CHAIR does.

::

    python -m tests.benchmarks.bench_labelling [--captions captions.jsonl] [--out labelling.json]

A script, not a timed test: what it prints depends on the machine. Without a file it labels captions
put together at random from sentences of the kind that LVLMs write, about 90 words each.
"""

from __future__ import annotations

import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
from sightline.calibration.objects.captionfile import CaptionFile
from sightline.calibration.objects.chair import Labelled, chair
from sightline.calibration.objects.labelling import label
from sightline.calibration.objects.official import label_officially
from sightline.monitor.language.lexicon import Lexicon

COUNT = 1000
SENTENCES = (
    "The image features a busy street with several cars and a truck driving by.",
    "There is a large orange construction sign on the side of the road.",
    "Two people are waiting near a traffic light, one of them holding an umbrella.",
    "In addition to the vehicles, a woman with a handbag can be seen in the background.",
    "A remote and a cell phone lie on the dining table next to a bowl of oranges.",
    "Several potted plants and books are placed on the shelves behind the couch.",
    "The man is wearing a tie and is seated at a desk, looking at a computer monitor.",
    "The scene captures the excitement of skiing down a snow-covered slope.",
    "There are three bottles on the countertop, one closer to the left side of the sink.",
    "A child is playing with a frisbee while a dog runs behind him, trying to catch it.",
)


def made_captions() -> list[str]:
    """1,000 captions of six sentences each, the same every time."""
    drawn = random.Random(0)
    return [" ".join(drawn.sample(SENTENCES, 6)) for _ in range(COUNT)]


def seconds(work: Callable[[str], Labelled], captions: list[str], repeats: int) -> list[float]:
    """Seconds per 1,000 captions, once a repeat, after a warm-up."""
    for caption in captions[:20]:
        work(caption)
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        for caption in captions:
            work(caption)
        taken.append((time.perf_counter() - began) * COUNT / len(captions))
    return taken


@click.command()
@click.option("--captions", type=click.Path(exists=True, path_type=Path), help="JSON lines.")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here.")
def main(captions: Path | None, repeats: int, out: Path | None) -> None:
    """Measure both ways of labelling, and the figures with their intervals."""
    texts = (
        made_captions()
        if captions is None
        else [caption.text for caption in CaptionFile.load(captions).captions]
    )
    coco, truth = Lexicon.load("coco"), frozenset({"person", "car", "bottle"})

    def ours(text: str) -> Labelled:
        return label(text, truth, coco)

    def official(text: str) -> Labelled:
        return label_officially(text, truth)

    began = time.perf_counter()
    chair([ours(text) for text in texts[:COUNT]])
    whole = time.perf_counter() - began
    found = {
        "captions": len(texts),
        "words": round(statistics.mean(len(text.split()) for text in texts), 1),
        "sightline": [round(one, 3) for one in seconds(ours, texts, repeats)],
        "official": [round(one, 3) for one in seconds(official, texts, repeats)],
        "label_and_chair_once": round(whole, 3),
        "unit": "seconds per 1,000 captions",
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    for name in ("sightline", "official"):
        times = found[name]
        assert isinstance(times, list)
        click.echo(f"{name:10} {statistics.median(times):.2f} s per 1,000 captions, {repeats} runs")
    if out is not None:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
