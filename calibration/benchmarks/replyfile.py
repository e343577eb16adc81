"""The file of a model's answers: one line of JSON each, gone on with wherever it was cut."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout
from pydantic import JsonValue

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


class ReplyFile:
    """Answers on their way to a file, whole lines only; one process at a time writes.

    Args:
        path: a new file, or one in which the same questions were begun in the same manner.
        items: the questions.
        manner: how they are asked.

    Raises:
        BenchmarkError: on entering, if another process writes to it, or it holds something else.
        OSError: it cannot be written.
    """

    def __init__(self, path: str | Path, items: Sequence[Item], manner: Manner) -> None:
        self.path = Path(path)
        self.done: dict[str, Mapping[str, Any]] = {}
        self._keys = {key_of(item.fields) for item in items}
        self._names = tuple(items[0].fields) if items else ()
        self._manner = manner
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        self._file = -1

    def __enter__(self) -> ReplyFile:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise BenchmarkError(
                f"One process at a time may write to {self.path}, and another one does. Wait for "
                f"it, or give another --out."
            ) from error
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._lock.release()

    def _open(self) -> None:
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content.rfind(b"\n") + 1
        tail = content[whole:]
        if tail and tail[:1] != b"{":
            raise BenchmarkError(
                f"{self.path} must be a file of answers to be gone on with, its last line is none: "
                f"{tail[:40]!r}. Give another --out."
            )
        if whole:
            self._read(content[:whole].decode(errors="replace"))
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._file, whole)  # what a killed process left of its last line

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
        draft = self.path.with_name(self.path.name + ".part")
        draft.write_text("".join(_line(row) for row in self.done.values()), encoding="utf-8")
        draft.replace(self.path)
        os.close(self._file)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append answers, all of them or, where the disk is full, none."""
        content = "".join(map(_line, rows)).encode()
        before = os.fstat(self._file).st_size
        written = os.write(self._file, content)
        if written != len(content):
            os.ftruncate(self._file, before)
            raise OSError(f"{self.path}: only {written} of {len(content)} bytes could be written.")


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def key_of(fields: Mapping[str, JsonValue]) -> str:
    """What tells a question from the others of its job."""
    return json.dumps(dict(fields), sort_keys=True)
