"""A small folder in AMBER's formats, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import spacy

RELATION: dict[str, list[str]] = {
    "grass": ["ground"],
    "ground": ["floor"],
    "ship": ["boat", "vessel"],
    "dog": [],
    "sky": [],
    "bird": [],
    "tree": ["bush"],
}

PICTURES: list[dict[str, Any]] = [
    {"truth": ["grass", "ground", "ship", "ship"], "hallu": ["dog", "bird"]},
    {"truth": ["sky"], "hallu": ["tree"]},
]

FACTS = (
    ("discriminative-hallucination", "no"),
    ("discriminative-hallucination", "no"),
    ("discriminative-attribute-state", "yes"),
    ("discriminative-attribute-number", "no"),
    ("discriminative-attribute-action", "no"),
    ("discriminative-relation", "yes"),
    ("relation", "no"),
)


def counters() -> str:
    """AMBER's metrics.txt: 0 above the line, 0.001 below."""
    kinds = [
        f"{kind}qa_{name}" for kind in ("", "as_", "an_", "aa_", "asso_", "ha_") for name in _QA
    ]
    below = ["chair", "safe_cover", "hallu_cover", "non_hallu", *kinds]
    return "\n".join(f"{name}_score=0\n{name}_num=0.001" for name in below)


_QA = ("correct", "no", "ans_no")


def vectors(folder: Path, **words: tuple[float, ...]) -> Path:
    """A spaCy pipeline with these word vectors, on disk."""
    nlp: Any = spacy.blank("en")
    for word, vector in words.items():
        nlp.vocab.set_vector(word, np.array(vector, np.float32))
    nlp.to_disk(folder)
    return folder


def write(folder: Path, *, image: str = "AMBER_{}.jpg", safe: str = "floor") -> Path:
    """The folder: two pictures, seven questions on them in turn."""
    data = folder / "data"
    (data / "query").mkdir(parents=True)
    rows: list[dict[str, Any]] = [{"type": "generative", **one} for one in PICTURES]
    rows += [{"type": kind, "truth": truth} for kind, truth in FACTS]
    for i, row in enumerate(rows, 1):
        row["id"] = i
    queries = [
        {
            "id": i,
            "image": image.format(2 - i % 2),
            "query": "Describe this image." * (i < 3) or "?",
        }
        for i in range(1, len(rows) + 1)
    ]
    for name, content in (
        ("annotations.json", json.dumps(rows)),
        ("relation.json", json.dumps(RELATION)),
        ("safe_words.txt", safe),
        ("metrics.txt", counters()),
        ("query/query_all.json", json.dumps(queries)),
        ("query/query_generative.json", json.dumps(queries[:2])),
    ):
        (data / name).write_text(content, encoding="utf-8")
    return data
