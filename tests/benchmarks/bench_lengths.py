"""What it gains to caption images together whose prompts are equally long.

    python -m tests.benchmarks.bench_lengths
    python -m tests.benchmarks.bench_lengths --ahead 1 2 4 8 16 --batch 16
    python -m tests.benchmarks.bench_lengths --endings

A Qwen2-VL of random weights captions pictures in the sizes that photographs come in, through the
job of ``sightline caption``: in the order of their names, and in windows of so many batches. The
arms take turns in random order in one process, in CPU time; the ratio of each round to neighbours
is reported as median and quartiles, beside that of a second neighbours' arm, the noise floor.
``padding`` is the share of prompt positions that hold nothing.

With ``--endings`` the small model writes real captions, which end when they end, and it is reported
how much dropping the finished rows of a batch would save at most: rows that decode after their end
(``idle``), and what of the time they take, by what a step costs with fewer rows (``saved``).
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sightline.calibration.scenes.render import render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.world import sample_scene
from sightline.monitor.cli.captioner import Captioner
from sightline.monitor.jobs.lengths import PromptLengths
from sightline.monitor.jobs.retries import Retries
from sightline.monitor.jobs.windows import windows
from sightline.monitor.models.images import MAX_PIXELS
from sightline.monitor.models.prompts import DEFAULT_PROMPT
from sightline.monitor.session import Monitor
from transformers import (
    BatchFeature,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    set_seed,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from .workbench import environment, record, summary

SIZES = ((640, 480), (480, 640), (640, 427), (500, 375), (1024, 768), (320, 240), (800, 600))
SHARES = (30, 12, 16, 12, 8, 12, 10)
"""Sizes of pictures, in pixels, and how many in a hundred have them: COCO's, with some others."""


class PatchProcessor:
    """Qwen2-VL's image processor and the small model's tokenizer, without the one for videos."""

    image_token = "<image>"

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.image_processor = Qwen2VLImageProcessorPil(
            patch_size=14, merge_size=2, min_pixels=28 * 28 * 4, max_pixels=28 * 28 * 1280
        )

    def __call__(self, images: Any, text: Sequence[str], **options: Any) -> BatchFeature:
        """As Qwen2-VL's does: each image token becomes as many as its picture has patches."""
        seen = self.image_processor([one for (one,) in images], return_tensors="pt")
        counts = [int(grid.prod()) // 4 for grid in seen["image_grid_thw"]]
        long = [
            one.replace(self.image_token, self.image_token * count)
            for one, count in zip(text, counts, strict=True)
        ]
        written = self.tokenizer(long, **options)
        image = self.tokenizer.convert_tokens_to_ids(self.image_token)
        kinds = (written["input_ids"] == image).long()
        return BatchFeature({**written, **seen, "mm_token_type_ids": kinds})


def qwen(tokenizer: Any, hidden: int, layers: int) -> Any:
    """A Qwen2-VL with random weights that never ends by itself."""
    set_seed(0)
    image = tokenizer.convert_tokens_to_ids("<image>")
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // 32,
            "num_key_value_heads": hidden // 64,
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [4, 6, 6],
                "rope_theta": 10000.0,
            },
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        vision_config={
            "depth": 1,
            "embed_dim": 32,
            "hidden_size": hidden,
            "num_heads": 2,
            "patch_size": 14,
        },
        image_token_id=image,
        video_token_id=len(tokenizer) - 1,
        vision_start_token_id=1,
        vision_end_token_id=2,
    )
    model: Any = Qwen2VLForConditionalGeneration(config).eval()
    model.generation_config.update(eos_token_id=None, pad_token_id=0, suppress_tokens=[image])
    return model


def make_pictures(folder: Path, images: int) -> list[Path]:
    """Noise in the sizes of photographs."""
    draw = np.random.default_rng(0)
    paths = []
    for number in range(images):
        size = SIZES[draw.choice(len(SIZES), p=np.array(SHARES) / sum(SHARES))]
        pixels = draw.integers(0, 255, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
        path = folder / f"{number:04d}.jpg"
        Image.fromarray(pixels).resize(size).save(path)
        paths.append(path)
    return paths


def padding(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """The share of prompt positions that hold nothing."""
    filled = sum(lengths)
    whole = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    return 1 - filled / whole


def grouped(options: argparse.Namespace) -> dict[str, Any]:
    """Ratios to neighbours of windows of each width."""
    small = Monitor.from_pretrained("small", calibration=None)
    processor: Any = PatchProcessor(small.tokenizer)
    model = qwen(small.tokenizer, options.hidden, options.layers)
    monitor = Monitor(model, processor, calibration=None)
    question = f"USER: <image>\n{DEFAULT_PROMPT} ASSISTANT:"
    lengths = PromptLengths(processor, question, max_pixels=MAX_PIXELS, retries=Retries())
    assert lengths.vary
    captioner = Captioner(
        monitor, prompt=question, max_new_tokens=options.tokens, max_pixels=MAX_PIXELS
    )
    with tempfile.TemporaryDirectory() as name:
        paths = make_pictures(Path(name), options.images)
        known = [lengths.of(path) for path in paths]
        places = {path: place for place, path in enumerate(paths)}

        def batches(ahead: int) -> list[list[Path]]:
            found = windows(
                paths,
                bytes(len(paths)),
                options.batch,
                length=None if ahead == 1 else lengths.of,
                ahead=ahead,
            )
            return [[w.items[place] for place in batch] for w in found for batch in w.batches]

        def arm(ahead: int) -> Callable[[], None]:
            def work() -> None:
                for batch in batches(ahead):
                    for one in captioner.records(batch):
                        assert one.kind == "caption", one

            return work

        arms = {str(ahead): arm(ahead) for ahead in dict.fromkeys([1, *options.ahead])}
        arms["again"] = arm(1)
        spent: dict[str, list[float]] = {key: [] for key in arms}
        arms["1"]()
        for _ in range(options.rounds):
            for key in random.sample(list(arms), len(arms)):
                start = time.process_time()
                arms[key]()
                spent[key].append(time.process_time() - start)
        speed = options.images * options.tokens
        return {
            "prompt_lengths": {"least": min(known), "most": max(known)},
            "ratio": {
                key: summary(a / b for a, b in zip(spent[key], spent["1"], strict=True))
                for key in arms
                if key != "1"
            },
            "tokens_per_second": {
                key: summary(speed / value for value in spent[key]) for key in arms
            },
            "padding": {
                key: padding(known, [[places[path] for path in b] for b in batches(int(key))])
                for key in arms
                if key != "again"
            },
        }


def endings(options: argparse.Namespace) -> dict[str, Any]:
    """What finished rows cost the small model, whose captions end when they end."""
    monitor = Monitor.from_pretrained("small", calibration=None)
    model: Any = monitor.model
    pictures = [
        render(sample_scene(seed)).image
        for seed in seeds("development", options.images, start=7700)
    ]
    written: list[int] = []
    for at in range(0, len(pictures), options.batch):
        inputs = monitor.prepare(pictures[at : at + options.batch])
        reports = monitor.generate(**inputs, max_new_tokens=160).reports
        written += [len(report.tokens) for report in reports]
    step = {rows: _step(model, monitor, pictures[:rows]) for rows in range(1, options.batch + 1)}
    idle = busy = paid = needed = 0.0
    for at in range(0, len(written), options.batch):
        rows = written[at : at + options.batch]
        for turn in range(max(rows)):
            left = sum(turn < length for length in rows)
            busy, idle = busy + left, idle + len(rows) - left
            paid, needed = paid + step[len(rows)], needed + step[left]
    return {
        "caption_tokens": summary(written),
        "idle": idle / (idle + busy),
        "step_ms": {rows: 1000 * value for rows, value in step.items()},
        "saved": 1 - needed / paid,
    }


def _step(model: Any, monitor: Monitor, pictures: Sequence[Image.Image]) -> float:
    """Seconds of a decoding step with so many rows, the prompt's pass taken off."""
    inputs = monitor.prepare(pictures)
    found = []
    for _ in range(5):
        spent = []
        for tokens in (2, 26):
            start = time.process_time()
            monitor.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens)
            spent.append(time.process_time() - start)
        found.append((spent[1] - spent[0]) / 24)
    return float(np.median(found))


def main() -> None:
    """Measure and write ``results/lengths-....json`` or ``results/endings-....json``."""
    parser = argparse.ArgumentParser(description="batches of prompts of one length")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--ahead", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--endings", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = endings(options) if options.endings else grouped(options)
    name = f"{'endings-small' if options.endings else 'lengths-qwen2vl'}-b{options.batch}-cpu"
    path = record(name, vars(options) | environment(torch.device("cpu")) | found)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
