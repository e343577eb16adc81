"""The small world as COCO sees the real one: a folder of pictures and an ``instances.json``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from .catalogue import TYPES
from .render import SIDE, Picture, render
from .seeds import split_of
from .world import sample_scene

ANNOTATIONS: Final = "instances.json"
"""Name of the annotation file, beside the pictures."""

CATEGORY_IDS: Final = {name: i for i, name in enumerate(TYPES, start=1)}
"""COCO category id of each object type."""


def file_name(seed: int) -> str:
    """File name of a scene's picture."""
    return f"{seed:08d}.png"


def export(
    seeds: Iterable[int], folder: Path, *, on_scene: Callable[[], object] = lambda: None
) -> Path:
    """Render scenes into ``folder`` and return the path of its annotations.

    Pictures are ``SEED.png``; the image id is the seed. Boxes are ``[left, top, width, height]`` in
    pixels around what can be seen; ``area`` counts the pixels that can be seen and ``visible`` is
    the share of the object that they are. Only objects that can be seen well enough to count are
    annotated. The folder appears when it is complete, or not at all.

    Args:
        seeds: of the scenes.
        folder: must not exist yet, or be empty.
        on_scene: called after each scene.

    Raises:
        FileExistsError: if ``folder`` holds anything.
        OSError: if it cannot be written; nothing is left behind.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"the output folder must be new or empty, was: {folder}; choose another or remove it"
        )
    above = next(parent for parent in folder.parents if parent.exists())
    if not os.access(above, os.W_OK):
        raise PermissionError(f"the output folder must be writable, was: {above}; choose another")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for seed in seeds:
            picture = render(sample_scene(seed))
            picture.image.save(staging / file_name(seed))
            images.append(_image(picture))
            annotations.extend(_annotations(picture, first_id=len(annotations) + 1))
            on_scene()
        (staging / ANNOTATIONS).write_text(
            json.dumps(_dataset(images, annotations)) + "\n", "utf-8"
        )
        staging.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        os.replace(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return folder / ANNOTATIONS


def _image(picture: Picture) -> dict[str, Any]:
    seed = picture.scene.seed
    return {
        "id": seed,
        "file_name": file_name(seed),
        "width": SIDE,
        "height": SIDE,
        "split": split_of(seed),
        "scene": picture.scene.kind,
    }


def _annotations(picture: Picture, *, first_id: int) -> list[dict[str, Any]]:
    return [
        {
            "id": first_id + i,
            "image_id": picture.scene.seed,
            "category_id": CATEGORY_IDS[seen.object.type],
            "bbox": [
                seen.box[0],
                seen.box[1],
                seen.box[2] - seen.box[0],
                seen.box[3] - seen.box[1],
            ],
            "area": seen.pixels,
            "visible": round(seen.fraction, 4),
            "colour": seen.object.colour,
            "iscrowd": 0,
        }
        for i, seen in enumerate(picture.annotated)
    ]


def _dataset(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "info": {
            "description": "sightline's small world: rendered scenes with exact ground truth",
            "version": "1",
        },
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": i, "name": name, "supercategory": "object"} for name, i in CATEGORY_IDS.items()
        ],
    }
