"""Yes/no questions on scenes, in POPE's own format.

As in Li et al. (EMNLP 2023), arXiv 2305.10355, half of an image's questions are on objects that
are there, half on objects that are not: random ones, the most frequent, or those that go most often
with what is there. The truth is exact: what the answer to is "no" was never placed in the scene.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import numpy as np

from .catalogue import TYPES
from .known import KnownScene

SPLITS: Final = ("random", "popular", "adversarial")

PER_IMAGE: Final = 3
"""Questions of an image with yes for an answer, at most, and as many with no."""


def write_pope(scenes: Sequence[KnownScene], folder: Path) -> tuple[Path, ...]:
    """Write a file of questions for each of :data:`SPLITS`.

    Args:
        scenes: at least one.
        folder: made if need be.

    Returns:
        the files: ``scenes_pope_random.json`` and so on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for split in SPLITS:
        rows = questions(scenes, split)
        path = folder / f"scenes_pope_{split}.json"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        paths.append(path)
    return tuple(paths)


def questions(scenes: Sequence[KnownScene], split: str) -> list[Mapping[str, Any]]:
    """The lines of a split, those of an image together, yes and no in turn."""
    frequent = Counter(name for scene in scenes for name in scene.there)
    together = Counter(pair for scene in scenes for pair in permutations(scene.there, 2))
    rows: list[Mapping[str, Any]] = []
    for scene in scenes:
        rng = np.random.default_rng(scene.seed)
        there = [str(name) for name in rng.permutation(scene.there)][:PER_IMAGE]
        absent = [
            str(name) for name in rng.permutation([t for t in TYPES if t not in scene.placed])
        ]
        if split == "popular":
            absent.sort(key=lambda name: -frequent[name])
        elif split == "adversarial":
            absent.sort(key=lambda name: -sum(together[one, name] for one in scene.there))
        for pair in zip(there, absent, strict=False):
            for name, label in zip(pair, ("yes", "no"), strict=True):
                rows.append(
                    {
                        "question_id": len(rows) + 1,
                        "image": scene.file,
                        "text": f"Is there {with_article(name)} in the image?",
                        "label": label,
                    }
                )
    return rows


def with_article(name: str) -> str:
    """ "a dog", "an oven"."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
