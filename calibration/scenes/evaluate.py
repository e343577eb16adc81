"""The evaluation of the small model: everything its card says, measured by one command.

Choices (the SVAR range, the settings of Eq. 4) are made on development scenes; the figures are
those of another split.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch
from rich.progress import Progress
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from ...monitor.attention.intervention import HeadGuided
from ...monitor.language.lexicon import Lexicon
from ..objects.chair import Chair, Labelled
from ..statistics import Estimate, Floats, auroc, by_image
from .captions import BRIEF, DETAILED
from .catalogue import TYPES
from .detection import Detection, Provisional, Separation, provisional
from .mitigation import ALPHAS, Mitigation, intervention_ranges, mitigation
from .observed import Observed
from .pointing import Pointing, pointing
from .render import Picture, render
from .seeds import seeds
from .telling import tell
from .world import sample_scene

_COLD_START = """
import sys, time; begin = time.perf_counter()
import torch; torch.set_num_threads(1)
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1], dtype=torch.float32)
processor = AutoProcessor.from_pretrained(sys.argv[1])
chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": sys.argv[2]}]}]
text = processor.apply_chat_template(chat, add_generation_prompt=True)
inputs = processor(text=text, images=Image.new("RGB", (192, 192), "gray"), return_tensors="pt")
model.generate(**inputs, do_sample=False)
print(time.perf_counter() - begin)
"""


TUNING = 400
"""Development scenes on which the settings of Eq. 4 are compared."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One always-on setting of Eq. 4, chosen on development scenes, and what it did elsewhere."""

    rule: str
    development: Mitigation
    measured: Mitigation


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All figures of the model card; see :mod:`.card` for what each means."""

    split: str
    pictures: int
    detailed: Chair
    brief: Chair
    typical: Estimate
    range: tuple[int, int]
    svar: Separation
    naming_svar: Separation
    others: dict[str, Separation]
    over_position: Estimate
    provisional: Provisional
    by_range: dict[tuple[int, int], tuple[float, float]]
    mitigations: tuple[Mitigation, ...]
    chosen: tuple[Setting, ...]
    pointing: dict[str, Pointing]
    split_names: dict[str, int]
    seconds_per_caption: float
    cold_start_seconds: float
    samples: tuple[tuple[str, str, tuple[str, ...]], ...]


def evaluate(
    folder: Path,
    *,
    split: str = "test",
    count: int = 1000,
    development: int = 1000,
    workers: int = 2,
    progress: Progress,
) -> Evaluation:
    """Measure the checkpoint in ``folder`` on the first ``count`` scenes of ``split``.

    Args:
        folder: a checkpoint of the small model.
        split: whose scenes to report on.
        count: how many of them.
        development: how many development scenes to choose on.
        workers: processes for the table of Eq. 4.
        progress: where to show what is going on.
    """
    model, processor = _load(folder)
    lexicon = Lexicon.load("small")

    def observe(split: str, count: int, prompt: str) -> Observed:
        task = progress.add_task(f"{split} · {prompt}", total=None)
        pictures = _pictures(split, count)
        observed = Observed.of(pictures, tell(model, processor, pictures, prompt), lexicon)
        progress.update(task, total=count, completed=count)
        return observed

    chosen_range = Detection.of(observe("development", development, DETAILED[0])).best_range()
    fitted = Detection.of(observe("calibration", development, DETAILED[0]))
    seen = observe(split, count, DETAILED[0])
    brief = observe(split, count, BRIEF[0])
    found = Detection.of(seen)
    score = found.svar(*chosen_range)
    tables = {
        name: _mitigations(folder, name, size, workers, progress)
        for name, size in (("development", min(development, TUNING)), (split, count))
    }
    return Evaluation(
        split=split,
        pictures=count,
        detailed=seen.chair(),
        brief=brief.chair(),
        typical=seen.typical_share(),
        range=chosen_range,
        svar=found.separation(score),
        naming_svar=found.separation(found.svar(*chosen_range, naming=True)),
        others={name: found.separation(s) for name, s in found.scores.items()},
        over_position=_lead(found, score),
        provisional=provisional(fitted, found, chosen_range),
        by_range=found.by_range(),
        mitigations=tables[split],
        chosen=_choose(tables["development"], tables[split]),
        pointing={
            f"{kind}, {row} row, {box}": pointing(
                seen,
                chosen_range,
                hallucinated=kind == "hallucinated",
                naming=row == "naming",
                own=box == "its own box",
            )
            for kind, boxes in (
                ("real", ("its own box", "boxes of other objects")),
                ("hallucinated", ("boxes of other objects",)),
            )
            for row in ("predicting", "naming")
            for box in boxes
        },
        split_names={
            name: count
            for name in TYPES
            if (count := len(processor.tokenizer.tokenize(" " + name))) > len(name.split())
        },
        seconds_per_caption=_caption_seconds(
            lambda p: tell(model, processor, [p], DETAILED[0]), seen.pictures
        ),
        cold_start_seconds=_cold_start(folder),
        samples=tuple(
            (
                seen.tellings[i].text,
                brief.tellings[i].text,
                tuple(m.object for m in seen.mentions[i] if m.hallucinated),
            )
            for i in range(min(4, count))
        ),
    )


def _pictures(split: str, count: int) -> list[Picture]:
    return [render(sample_scene(seed)) for seed in seeds(split, count)]


def _load(folder: Path) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """A checkpoint in float32, run by one thread: workers are processes."""
    torch.set_num_threads(1)
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model, LlavaProcessor.from_pretrained(folder)


def _lead(found: Detection, score: Floats) -> Estimate:
    """How far SVAR's overall AUROC lies above that of position alone; paired, by image."""
    y, position = found.labels, found.scores["position"]
    return by_image(lambda w: auroc(y, score, w) - auroc(y, position, w), found.images)


def _treated(
    folder: Path, split: str, count: int, alpha: float, first: int, last: int
) -> list[Labelled]:
    """The captions of one cell of the table; alpha 0 is greedy decoding. Runs in a worker."""
    model, processor = _load(folder)
    acting = HeadGuided(alpha, range(first, last + 1)) if alpha else None
    pictures = _pictures(split, count)
    tellings = tell(model, processor, pictures, DETAILED[0], intervention=acting)
    return Observed.of(pictures, tellings, Lexicon.load("small")).labelled


def _mitigations(
    folder: Path, split: str, count: int, workers: int, progress: Progress
) -> tuple[Mitigation, ...]:
    model, _ = _load(folder)
    ranges = intervention_ranges(len(model.model.language_model.layers))
    cells = [(0.0, (0, 0)), *((alpha, r) for r in ranges for alpha in ALPHAS)]
    task = progress.add_task(f"{split} · Eq. 4, alpha by range", total=len(cells))
    results: list[list[Labelled]] = []
    parallel: Any = joblib.Parallel(n_jobs=workers, return_as="generator")
    jobs = parallel(joblib.delayed(_treated)(folder, split, count, alpha, *r) for alpha, r in cells)
    for labelled in jobs:
        results.append(labelled)
        progress.advance(task)
    greedy, *treated = results
    return tuple(
        mitigation(alpha, r, labelled, greedy)
        for (alpha, r), labelled in zip(cells[1:], treated, strict=True)
    )


def _choose(
    development: tuple[Mitigation, ...], measured: tuple[Mitigation, ...]
) -> tuple[Setting, ...]:
    """The settings that cut CHAIR_I most on development scenes within two limits on recall."""
    limits = {"recall no lower than greedy's": 0.0, "at most 2.5 points of recall lost": -0.025}
    chosen = []
    for rule, least in limits.items():
        kept = [i for i, m in enumerate(development) if m.recall_change.value >= least]
        if kept:
            best = min(kept, key=lambda i: development[i].chair_i_change.value)
            chosen.append(Setting(rule, development[best], measured[best]))
    return tuple(chosen)


def _caption_seconds(caption: Callable[[Picture], object], pictures: Sequence[Picture]) -> float:
    times = []
    for picture in pictures[:11]:
        begin = time.perf_counter()
        caption(picture)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def _cold_start(folder: Path) -> float:
    command = [sys.executable, "-c", _COLD_START, str(folder), DETAILED[0]]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])
