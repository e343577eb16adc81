"""Scenes of a rendered folder, and all that is known of them: what was placed, what is seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .coco import ANNOTATIONS, CATEGORY_IDS
from .world import sample_scene


@dataclass(frozen=True, slots=True)
class SeenObject:
    """An object that can be seen well enough to be annotated.

    Attributes:
        type: canonical name.
        colour: name of its colour.
        left: of its visible pixels.
        right: of its visible pixels, the column after the last.
    """

    type: str
    colour: str
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class KnownScene:
    """A scene and its truth.

    Attributes:
        seed: what it was made from.
        file: name of its picture.
        kind: what place it is.
        objects: what can be seen.
        placed: how many of each type were placed, seen or hidden.
    """

    seed: int
    file: str
    kind: str
    objects: tuple[SeenObject, ...]
    placed: Mapping[str, int]

    @property
    def there(self) -> tuple[str, ...]:
        """The types of object that can be seen, each once, in order of the annotations."""
        return tuple(dict.fromkeys(one.type for one in self.objects))

    def count(self, name: str) -> int:
        """How many of a type can be seen."""
        return sum(one.type == name for one in self.objects)


def known_scenes(folder: str | Path) -> tuple[KnownScene, ...]:
    """The scenes of a folder that ``sightline scenes render`` made.

    Raises:
        ValueError: it is none.
    """
    path = Path(folder) / ANNOTATIONS
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        images = {image["id"]: image for image in data["images"]}
        objects: dict[int, list[SeenObject]] = {seed: [] for seed in images}
        names = {number: name for name, number in CATEGORY_IDS.items()}
        for one in data["annotations"]:
            left, _, width, _ = one["bbox"]
            seen = SeenObject(names[one["category_id"]], one["colour"], left, left + width)
            objects[one["image_id"]].append(seen)
        return tuple(
            _known(seed, image["file_name"], image["scene"], objects[seed])
            for seed, image in images.items()
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} must be a folder that sightline scenes render made: "
            f"{type(error).__name__}: {error}"
        ) from error


def _known(seed: int, file: str, kind: str, objects: list[SeenObject]) -> KnownScene:
    placed: dict[str, int] = {}
    for one in sample_scene(seed).objects:
        placed[one.type] = placed.get(one.type, 0) + 1
    return KnownScene(seed, file, kind, tuple(objects), placed)
