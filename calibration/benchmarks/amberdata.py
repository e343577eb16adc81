"""AMBER's own files: what is asked, what is true, and the words its script knows.

Wang et al., "AMBER: An LLM-free Multi-dimensional Benchmark for MLLMs Hallucination Evaluation",
arXiv 2311.07397.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeGuard

from .errors import BenchmarkError
from .jsonfile import read_json, read_objects, read_text
from .saying import Said

Task = Literal["a", "g", "d", "de", "da", "dr"]
"""All; generative; discriminative; of that existence, attribute, relation: as the script has it."""

QUERIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "a": "query_all.json",
        "g": "query_generative.json",
        "d": "query_discriminative.json",
        "de": "query_discriminative-existence.json",
        "da": "query_discriminative-attribute.json",
        "dr": "query_discriminative-relation.json",
    }
)
"""The file of queries of each task."""

Kind = Literal["existence", "state", "number", "action", "relation"]
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "discriminative-hallucination": "existence",
        "discriminative-attribute-state": "state",
        "discriminative-attribute-number": "number",
        "discriminative-attribute-action": "action",
    }
)
"""What yes/no questions are about, by the type in the annotations; any other type is a relation."""


@dataclass(frozen=True, slots=True)
class Query:
    """Something AMBER asks.

    Attributes:
        number: its id, from 1.
        image: name of the image's file.
        text: what is asked.
    """

    number: int
    image: str
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What a description may name.

    Attributes:
        truth: what is in the image, some of it twice.
        hallu: what people would expect there and is not.
    """

    truth: tuple[str, ...]
    hallu: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """What is true of a yes/no question."""

    kind: Kind
    truth: Said


@dataclass(frozen=True, slots=True)
class AmberData:
    """AMBER's folder ``data``.

    Attributes:
        annotations: of each id, in order, the first of id 1.
        relation: of each object, words that go with it.
        safe_words: words that no description is blamed for.
        start: what the script's counters begin with, mostly 0.001 for those it divides by.
        images: name of the image's file by id, where there are queries.
        vocabulary: the only words of a description that count: all of ``relation``.
    """

    annotations: tuple[Picture | Fact, ...]
    relation: Mapping[str, tuple[str, ...]]
    safe_words: frozenset[str]
    start: Mapping[str, float]
    images: Mapping[int, str]
    vocabulary: frozenset[str]

    @classmethod
    def load(cls, folder: str | Path) -> AmberData:
        """Read the folder, or the folder ``data`` in it.

        Raises:
            BenchmarkError: a file is missing or not of AMBER's format.
        """
        folder = Path(folder)
        if not (folder / "annotations.json").exists() and (folder / "data").is_dir():
            folder = folder / "data"
        relation = _relation(folder / "relation.json")
        images: dict[int, str] = {}
        for name in QUERIES.values():
            if (folder / "query" / name).exists():
                images |= {query.number: query.image for query in _queries(folder / "query" / name)}
        return cls(
            annotations=_annotations(folder / "annotations.json", relation),
            relation=relation,
            safe_words=frozenset(
                read_text(folder / "safe_words.txt", "AMBER's safe words").split("\n")
            ),
            start=_start(folder / "metrics.txt"),
            images=images,
            vocabulary=frozenset(relation).union(*relation.values()),
        )

    def annotation(self, number: int) -> Picture | Fact | None:
        """What is true of an id; ``None``: there is no such id."""
        return self.annotations[number - 1] if 1 <= number <= len(self.annotations) else None


def load_queries(folder: str | Path, task: Task) -> tuple[Query, ...]:
    """The queries of a task.

    Raises:
        BenchmarkError: their file is missing or damaged.
    """
    folder = Path(folder)
    if not (folder / "query").is_dir():
        folder = folder / "data"
    return _queries(folder / "query" / QUERIES[task])


def _queries(path: Path) -> tuple[Query, ...]:
    queries = []
    for place, row in read_objects(path, "AMBER's queries"):
        if not isinstance(row.get("id"), int) or not {"image", "query"} <= row.keys():
            raise BenchmarkError(
                f"{path}, entry {place} must have id, image and query, was: {str(row)[:60]}."
            )
        queries.append(Query(row["id"], str(row["image"]), str(row["query"])))
    return tuple(queries)


def _relation(path: Path) -> dict[str, tuple[str, ...]]:
    data = read_json(path, "AMBER's words")
    if not isinstance(data, dict) or not all(_is_words(words) for words in data.values()):
        raise BenchmarkError(f"{path} must give a list of words for each object.")
    return {name: tuple(words) for name, words in data.items()}


def _is_words(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _annotations(path: Path, relation: Mapping[str, Sequence[str]]) -> tuple[Picture | Fact, ...]:
    found = []
    for place, row in read_objects(path, "AMBER's annotations"):
        if row.get("id", place) != place:
            raise BenchmarkError(
                f"{path} must be in the order of its ids, from 1: entry {place} has the id "
                f"{row['id']}."
            )
        found.append(_annotation(row, f"{path}, entry {place}", relation))
    return tuple(found)


def _annotation(
    row: Mapping[str, Any], where: str, relation: Mapping[str, Sequence[str]]
) -> Picture | Fact:
    kind, truth, hallu = row.get("type"), row.get("truth"), row.get("hallu")
    if kind != "generative":
        if truth not in ("yes", "no"):
            raise BenchmarkError(f"{where} must have the truth yes or no, was: {truth!r}.")
        return Fact(KINDS.get(str(kind), "relation"), truth)
    if not _is_words(truth) or not _is_words(hallu):
        raise BenchmarkError(f"{where} must list objects as truth and hallu.")
    unknown = [word for word in (*truth, *hallu) if word not in relation]
    if unknown:
        raise BenchmarkError(
            f"{where} may only name objects that relation.json knows, it names: {unknown[0]!r}."
        )
    return Picture(tuple(truth), tuple(hallu))


def _start(path: Path) -> dict[str, float]:
    found = {}
    for line in read_text(path, "AMBER's counters").splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            continue
        try:
            found[name] = float(value)
        except ValueError as error:
            raise BenchmarkError(
                f"{path} must give a number for each counter, {name} has: {value!r}."
            ) from error
    return found
