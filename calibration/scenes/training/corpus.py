"""The training scenes, rendered once: pixels, patch labels and what there is to say of each."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.progress import Progress

from ..architecture import INPUT_SIDE, PATCHES
from ..captions import Subject, subject
from ..catalogue import COLOURS, TYPES
from ..render import SIDE, Picture, render
from ..seeds import seeds
from ..world import sample_scene

_GRID = int(PATCHES**0.5)
_PATCH_COVERED = 0.08
_CHUNK = 500
_TYPE_IDS = {name: i for i, name in enumerate(TYPES, start=1)}
_COLOUR_IDS = {name: i for i, name in enumerate(COLOURS, start=1)}


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Rendered training scenes, memory-mapped.

    Attributes:
        pixels: uint8 ``[scenes, INPUT_SIDE, INPUT_SIDE, 3]``, resized as the processor does.
        types: uint8 ``[scenes, PATCHES]``; the object type that covers most of each patch, counted
            from 1 in the order of the catalogue; 0 where objects cover less than 8% of it.
        colours: uint8 ``[scenes, PATCHES]``; that object's colour, likewise.
        subjects: what a caption writer knows of each scene.
    """

    pixels: npt.NDArray[np.uint8]
    types: npt.NDArray[np.uint8]
    colours: npt.NDArray[np.uint8]
    subjects: list[Subject]


def patch_labels(picture: Picture) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Type and colour labels of each patch, both uint8 ``[PATCHES]``; see :class:`Corpus`."""
    edge = SIDE // _GRID
    patches = picture.owner.reshape(_GRID, edge, _GRID, edge).swapaxes(1, 2).reshape(PATCHES, -1)
    types = np.zeros(PATCHES, np.uint8)
    colours = np.zeros(PATCHES, np.uint8)
    best = np.full(PATCHES, _PATCH_COVERED)
    for index, seen in enumerate(picture.seen, start=1):
        if not seen.annotated:
            continue
        share = (patches == index).mean(1)
        wins = share > best
        types[wins] = _TYPE_IDS[seen.object.type]
        colours[wins] = _COLOUR_IDS[seen.object.colour]
        best[wins] = share[wins]
    return types, colours


def _render_chunk(folder: Path, scenes: int, start: int) -> list[Subject]:
    pixels, types, colours = _open(folder, scenes, "r+")
    subjects = []
    for row in range(start, min(start + _CHUNK, scenes)):
        picture = render(sample_scene(seeds("train", scenes)[row]))
        small = picture.image.resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BICUBIC)
        pixels[row] = np.asarray(small)
        types[row], colours[row] = patch_labels(picture)
        subjects.append(subject(picture))
    return subjects


def _open(folder: Path, scenes: int, mode: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shapes = {
        "pixels": (scenes, INPUT_SIDE, INPUT_SIDE, 3),
        "types": (scenes, PATCHES),
        "colours": (scenes, PATCHES),
    }
    opened = [
        np.lib.format.open_memmap(
            folder / f"{name}.npy", mode, np.uint8, shape if mode == "w+" else None
        )
        for name, shape in shapes.items()
    ]
    return opened[0], opened[1], opened[2]


def load_corpus(folder: Path, scenes: int, *, workers: int, progress: Progress) -> Corpus:
    """Open the corpus in ``folder``, rendering it first where it is not there yet."""
    done = folder / f"subjects-{scenes}.pickle"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _open(folder, scenes, "w+")
        starts = range(0, scenes, _CHUNK)
        task = progress.add_task("render the training scenes", total=scenes)
        subjects: list[Subject] = []
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for chunk in pool.map(_render_chunk, repeat(folder), repeat(scenes), starts):
                subjects.extend(chunk)
                progress.update(task, completed=len(subjects))
        partial = done.with_suffix(".partial")
        partial.write_bytes(pickle.dumps(subjects))
        os.replace(partial, done)
    # Our own file, written above by this command; nothing from strangers is unpickled here.
    return Corpus(*_open(folder, scenes, "r"), pickle.loads(done.read_bytes()))
