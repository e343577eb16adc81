"""The whole training: stage after stage, on several processes, resumable at any moment."""

from __future__ import annotations

import functools
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from ..architecture import PATCHES, build_model, build_processor, build_tokenizer
from ..captions import BRIEF, DETAILED, write_brief, write_detailed
from .corpus import Corpus, load_corpus
from .language import SightedLoss, TextLoss, Writer
from .recipe import Recipe
from .vision import Sight, VisionLoss, pixel_values
from .workers import Worker, run_stage

_TOKENIZER_CAPTIONS = 12_000
_FEATURE_BATCH = 256


def train(folder: Path, recipe: Recipe, *, workers: int = 2) -> Path:
    """Train the small model and return the folder of its checkpoint.

    Every stage keeps what it has reached in ``folder``; called again after an interruption, the
    training goes on from there. The checkpoint, ``folder/model``, holds fp16 weights and the
    processor, as ``save_pretrained`` writes them.

    Raises:
        ValueError: if ``workers`` is not positive, or ``folder`` holds another recipe's training.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, was: {workers}")
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, recipe)
    if workers == 1:
        _work(0, 1, folder, recipe, "")
    else:
        with tempfile.TemporaryDirectory() as meeting:
            shared = (workers, folder, recipe, f"file://{meeting}/meeting")
            mp.spawn(_work, shared, nprocs=workers)  # type: ignore[attr-defined, no-untyped-call]
    return folder / "model"


def _claim(folder: Path, recipe: Recipe) -> None:
    """Make sure that a folder is used for one recipe only."""
    mark = folder / "recipe.txt"
    if mark.exists() and mark.read_text() != repr(recipe):
        raise ValueError(
            f"{folder} holds the training of another recipe ({mark.read_text()}): "
            "choose another folder or remove it"
        )
    mark.write_text(repr(recipe))


def _work(rank: int, size: int, folder: Path, recipe: Recipe, meeting: str) -> None:
    torch.set_num_threads(1)
    if size > 1:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=Console(stderr=True), disable=rank > 0) as progress:
            _train(Worker(rank, size), folder, recipe, progress)
    finally:
        if size > 1:
            dist.destroy_process_group()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, or an orphan would go on training unseen."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _train(worker: Worker, folder: Path, recipe: Recipe, progress: Progress) -> None:
    if worker.rank == 0:
        corpus = load_corpus(
            folder / "corpus", recipe.scenes, workers=worker.size, progress=progress
        )
        _learn_tokens(folder, corpus, recipe)
    worker.wait()
    corpus = load_corpus(folder / "corpus", recipe.scenes, workers=1, progress=progress)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    model = build_model(tokenizer, seed=recipe.seed)
    language, projector = model.model.language_model, model.model.multi_modal_projector
    stage = functools.partial(
        run_stage, folder=folder, worker=worker, decay=recipe.weight_decay, progress=progress
    )

    sight = Sight(model.model.vision_tower)
    stage("see", recipe.vision, sight, [sight], VisionLoss(sight, corpus, recipe))
    sight.requires_grad_(False)
    features = _features(sight, corpus, folder, worker, progress)

    writer = Writer(tokenizer, detailed=recipe.detailed)
    alone = TextLoss(model, corpus.subjects, writer, recipe)
    stage("speak", recipe.text, model, [language], alone)

    language.requires_grad_(False)
    aligned = SightedLoss(model, features, corpus.subjects, writer, recipe, recipe.align, 3)
    stage("align", recipe.align, model, [projector], aligned)

    language.requires_grad_(True)
    joint = SightedLoss(model, features, corpus.subjects, writer, recipe, recipe.joint, 4)
    stage("together", recipe.joint, model, [projector, language], joint)
    if worker.rank == 0:
        save(model, tokenizer, folder / "model")


def _learn_tokens(folder: Path, corpus: Corpus, recipe: Recipe) -> None:
    if (folder / "tokenizer" / "tokenizer.json").exists():
        return
    rng = np.random.default_rng([recipe.seed, 0])
    texts = [f"USER: \n{prompt}\nASSISTANT:\n" for prompt in DETAILED + BRIEF] * 200
    for row in rng.integers(len(corpus.subjects), size=_TOKENIZER_CAPTIONS):
        about = corpus.subjects[row]
        texts.append((write_detailed if rng.random() < 0.8 else write_brief)(about, rng))
    build_tokenizer(texts).save_pretrained(folder / "tokenizer")


@torch.inference_mode()
def _features(
    sight: Sight, corpus: Corpus, folder: Path, worker: Worker, progress: Progress
) -> np.ndarray:
    """What the frozen tower sees in each scene: fp16 ``[scenes, PATCHES, width]``, on disk."""
    path, count = folder / "features.npy", len(corpus.subjects)
    partial = path.with_suffix(".partial.npy")
    shape = (count, PATCHES, sight.tower.config.hidden_size)
    if not path.exists():
        if worker.rank == 0:
            np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        worker.wait()
        seen = np.lib.format.open_memmap(partial, "r+")
        task = progress.add_task("look at the training scenes", total=count)
        sight.eval()
        for start in range(worker.rank * _FEATURE_BATCH, count, worker.size * _FEATURE_BATCH):
            rows = slice(start, min(start + _FEATURE_BATCH, count))
            hidden = sight.tower(pixel_values=pixel_values(corpus.pixels[rows])).last_hidden_state
            seen[rows] = hidden[:, 1:].half().numpy()
            progress.update(task, completed=min(count, start + _FEATURE_BATCH * worker.size))
        seen.flush()
        worker.wait()
        if worker.rank == 0:
            os.replace(partial, path)
        worker.wait()
    return np.lib.format.open_memmap(path, "r")


def save(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Write the checkpoint: fp16 weights, generation settings and processor."""
    model.half().save_pretrained(folder)
    build_processor(tokenizer).save_pretrained(folder)
    model.float()
