"""The file of a model's answers: one line of JSON each, gone on with wherever it was cut."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ...monitor.jobs.linefile import LineFile
from ...monitor.session import Monitor
from .errors import BenchmarkError
from .jsonfile import parse_objects


@dataclass(frozen=True, slots=True)
class Item:
    """Something to ask.

    Attributes:
        image: name of the image's file.
        prompt: the question as the model gets it.
        fields: what its line in the file begins with, which tells it from all others.
    """

    image: str
    prompt: str
    fields: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Manner:
    """How questions are asked: answers given otherwise do not belong into the same file.

    Attributes:
        model: its name.
        calibration: name of what judges its words; ``None``: nothing does.
        max_new_tokens: where answers are cut.
    """

    model: str
    calibration: str | None
    max_new_tokens: int

    @classmethod
    def of(cls, monitor: Monitor, *, max_new_tokens: int) -> Manner:
        """How this monitor is asked."""
        judge = monitor.calibration
        return cls(monitor.name, None if judge is None else judge.name, max_new_tokens)


class ReplyFile(LineFile):
    """Answers on their way to a file; see :class:`.LineFile`.

    Args:
        path: a new file, or one in which the same questions were begun in the same manner.
        items: the questions.
        manner: how they are asked.

    Attributes:
        done: the lines of the questions that were asked, by :func:`key_of`.

    Raises:
        BenchmarkError: on entering, if another process writes to it, or it holds something else.
        OSError: it cannot be written.
    """

    def __init__(self, path: str | Path, items: Sequence[Item], manner: Manner) -> None:
        self._names = tuple(items[0].fields) if items else ()
        first = f'{{"{self._names[0]}":' if self._names else "{"
        super().__init__(path, holds="answers", begins=first.encode(), error=BenchmarkError)
        self.done: dict[str, Mapping[str, Any]] = {}
        self._keys = {key_of(item.fields) for item in items}
        self._manner = manner

    def _opened(self) -> None:
        text = self.path.read_text(encoding="utf-8", errors="replace")
        if text:
            self._read(text)

    def _read(self, text: str) -> None:
        for place, row in parse_objects(text, self.path, "Answers"):
            key = key_of({name: row.get(name) for name in self._names})
            there = {name: row.get(name) for name in asdict(self._manner)}
            odd = [
                f"{name} ({there[name]} there, {value} now)"
                for name, value in asdict(self._manner).items()
                if there[name] != value
            ]
            if key not in self._keys:
                odd.append("the questions")
            if odd:
                raise BenchmarkError(
                    f"To go on with {self.path}, its answers must be to the same questions and "
                    f"given in the same manner; in line {place} what differs is {', '.join(odd)}. "
                    f"Give another --out, or the options it began with."
                )
            self.done[key] = row

    def drop_failures(self) -> None:
        """Ask again what failed."""
        self.done = {key: row for key, row in self.done.items() if "error" not in row}
        self.replace(_line(row).encode() for row in self.done.values())

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append answers, all of them or, where the disk is full, none."""
        self.append("".join(map(_line, rows)))


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def key_of(fields: Mapping[str, JsonValue]) -> str:
    """What tells a question from the others of its job."""
    return json.dumps(dict(fields), sort_keys=True)
