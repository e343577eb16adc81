"""Queries on scenes, in AMBER's own format (arXiv 2311.07397).

AMBER compares single words, so an object of two words goes by the one that no other has: "light"
is the traffic light, "palm" the palm tree, with which "tree" goes. Nothing moves in the small
world: there are no questions on actions, and the relation asked for is left and right, not touch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np

from .catalogue import COLOURS, SCENES, TYPES
from .known import KnownScene, SeenObject
from .polling import with_article

EXPECTED: Final = 4
"""Of how many objects that would fit in a scene, and are not there, it is asked about."""

_NUMBERS: Final = ("no", "one", "two", "three", "four")
_COUNTERS: Final = (
    *("chair", "safe_cover", "hallu_cover", "non_hallu"),
    *(
        f"{kind}qa_{name}"
        for kind in ("", "as_", "an_", "aa_", "asso_", "ha_")
        for name in ("correct", "no", "ans_no")
    ),
)
_GENERATIVE: Final = "generative"
_QUERIES: Final[Mapping[str, str]] = {
    "all": "",
    _GENERATIVE: _GENERATIVE,
    "discriminative": "discriminative-",
    "discriminative-existence": "discriminative-hallucination",
    "discriminative-attribute": "discriminative-attribute",
    "discriminative-relation": "discriminative-relation",
}
"""Name of each file of queries: what the type of its annotations begins with."""


def word_of(name: str) -> str:
    """The single word that stands for a type of object."""
    *first, last = name.split()
    return first[0] if first and last in TYPES else last


def relation() -> dict[str, list[str]]:
    """Words of AMBER's relation.json: for each type of object those that go with it."""
    return {
        word_of(kind.name): list(
            dict.fromkeys(
                part
                for names in kind.names
                for part in (*(form.split()[-1] for form in names[:1]), *_odd_plural(names))
                if part != word_of(kind.name)
            )
        )
        for kind in TYPES.values()
    }


def _odd_plural(names: tuple[str, str]) -> tuple[str, ...]:
    singular, plural = names
    return () if plural.startswith(singular[:3]) else (plural.split()[-1],)


def write_amber(scenes: Sequence[KnownScene], folder: Path) -> Path:
    """Write a folder ``data`` as AMBER's: queries, annotations, words and counters.

    Args:
        scenes: at least one.
        folder: made if need be.

    Returns:
        the folder.
    """
    rows = [(scene, *row) for scene in scenes for row in _described(scene)]
    rows += [(scene, *row) for scene in scenes for row in _asked(scene)]
    queries: dict[str, list[Mapping[str, Any]]] = {name: [] for name in _QUERIES}
    annotations = []
    for number, (scene, query, annotation) in enumerate(rows, 1):
        annotations.append({"id": number, **annotation})
        for name, begins in _QUERIES.items():
            if annotation["type"].startswith(begins):
                queries[name].append({"id": number, "image": scene.file, "query": query})
    (folder / "query").mkdir(parents=True, exist_ok=True)
    for name, some in queries.items():
        _write(folder / "query" / f"query_{name}.json", some)
    _write(folder / "annotations.json", annotations)
    _write(folder / "relation.json", relation())
    (folder / "safe_words.txt").write_text("", encoding="utf-8")
    counters = (f"{name}_score=0\n{name}_num=0.001\n" for name in _COUNTERS)
    (folder / "metrics.txt").write_text("".join(counters), encoding="utf-8")
    return folder


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


Row = tuple[str, Mapping[str, Any]]


def _expected(scene: KnownScene) -> list[str]:
    """What would fit best and was never placed."""
    typical = SCENES[scene.kind].typical
    fitting = [name for name in typical if name not in scene.placed]
    return sorted(fitting, key=lambda name: -typical[name])[:EXPECTED]


def _described(scene: KnownScene) -> Iterator[Row]:
    yield (
        "Describe this image.",
        {
            "type": _GENERATIVE,
            "truth": [word_of(name) for name in scene.there],
            "hallu": [word_of(name) for name in _expected(scene)],
        },
    )


def _asked(scene: KnownScene) -> Iterator[Row]:
    for name in _expected(scene):
        yield _fact("hallucination", f"Is there {with_article(name)} in this image?", "no")
    rng = np.random.default_rng(scene.seed)
    single = [one for one in scene.objects if scene.placed[one.type] == 1]
    for one in single[:1]:
        others = [name for name in COLOURS if name != one.colour]
        for colour, truth in ((one.colour, "yes"), (str(rng.choice(others)), "no")):
            yield _fact("attribute-state", f"Is the {one.type} {colour} in this image?", truth)
    whole = [name for name in scene.there if 1 < scene.placed[name] == scene.count(name)]
    for name in whole[:1]:
        many = scene.count(name)
        for count, truth in ((many, "yes"), (many + 1, "no")):
            text = f"Are there {_NUMBERS[count]} {TYPES[name].plural} in this image?"
            yield _fact("attribute-number", text, truth)
    for one, other in list(_apart(single))[:1]:
        for pair, truth in (((one, other), "yes"), ((other, one), "no")):
            text = f"Is the {pair[0].type} to the left of the {pair[1].type} in this image?"
            yield _fact("relation", text, truth)


def _apart(objects: Sequence[SeenObject]) -> Iterator[tuple[SeenObject, SeenObject]]:
    """Pairs of which the first is wholly to the left of the second."""
    for pair in combinations(objects, 2):
        one, other = sorted(pair, key=lambda each: each.left)
        if one.right <= other.left:
            yield one, other


def _fact(kind: str, text: str, truth: str) -> Row:
    return text, {"type": f"discriminative-{kind}", "truth": truth}
