"""A model answers questions on images: batched, watched, resumable, one line of JSON an answer."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from filelock import FileLock, Timeout
from PIL import Image
from pydantic import JsonValue

from ...monitor.errors import ImageError
from ...monitor.models.images import ImageInfo, open_image
from ...monitor.report import Report
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
        self._keys = {_key(item.fields) for item in items}
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
            key = _key({name: row.get(name) for name in self._names})
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


def _key(fields: Mapping[str, JsonValue]) -> str:
    return json.dumps(dict(fields), sort_keys=True)


_TOO_MANY: Final = 8
"""Images that can be opened, but not asked about, in a row: then it is not the images' fault."""


class Asker:
    """Puts questions to a model and collects what it answers.

    A question that cannot be put (the image is missing or broken) gets a line with an ``error``
    and stops no other.

    Args:
        monitor: the model, watched.
        images: the folder of the images.
        answer: what a line calls the answer, ``answer`` or ``response``.
        max_new_tokens: where answers are cut.
        batch_size: questions put at once.
    """

    def __init__(
        self,
        monitor: Monitor,
        images: Path,
        *,
        answer: str = "answer",
        max_new_tokens: int,
        batch_size: int = 8,
    ) -> None:
        self._monitor = monitor
        self._images = images
        self._answer = answer
        self._batch_size = batch_size
        self._failures = 0
        self.manner = Manner.of(monitor, max_new_tokens=max_new_tokens)

    def run(
        self,
        items: Sequence[Item],
        file: ReplyFile,
        *,
        on_done: Callable[[int, int], object] = lambda *_: None,
    ) -> None:
        """Ask what has no line in the file yet.

        Batches go by the place of their questions, whatever is done of them: an answer's last
        digits depend on its batch, and a job that was interrupted must come out as one that was
        not.

        Args:
            items: the questions.
            file: entered.
            on_done: called after each batch with how many questions are done, and of how many.

        Raises:
            BenchmarkError: several questions in a row failed although their images can be opened.
            OSError: the file cannot be written.
        """
        for start in range(0, len(items), self._batch_size):
            batch = items[start : start + self._batch_size]
            if any(_key(item.fields) not in file.done for item in batch):
                rows = {_key(i.fields): self._row(i, r) for i, r in self._asked(batch)}
                new = {key: row for key, row in rows.items() if key not in file.done}
                file.add(list(new.values()))
                file.done.update(new)
            on_done(start + len(batch), len(items))

    def _asked(self, batch: Sequence[Item]) -> list[tuple[Item, Report | Exception]]:
        """Each item with its report, or why there is none, in order."""
        opened: list[tuple[Item, Image.Image, ImageInfo]] = []
        found: dict[int, Report | Exception] = {}
        for place, item in enumerate(batch):
            try:
                one = open_image(self._images / item.image)
                opened.append((item, one.image, one.info))
            except ImageError as error:
                found[place] = error
        reports = iter(self._reports(opened))
        return [
            (item, found[place] if place in found else next(reports))
            for place, item in enumerate(batch)
        ]

    def _reports(
        self, batch: Sequence[tuple[Item, Image.Image, ImageInfo]]
    ) -> list[Report | Exception]:
        if not batch:
            return []
        try:
            inputs = self._monitor.prepare(
                [image for _, image, _ in batch], [item.prompt for item, _, _ in batch]
            )
            result = self._monitor.generate(
                **inputs,
                images=[info for _, _, info in batch],
                max_new_tokens=self.manner.max_new_tokens,
                do_sample=False,
            )
        except Exception as error:  # recorded; whatever one image does must not stop the others
            if len(batch) == 1:
                return [self._failed(error)]
            return [one for each in batch for one in self._reports([each])]
        self._failures = 0
        return list(result.reports)

    def _failed(self, error: Exception) -> Exception:
        self._failures += 1
        if self._failures == _TOO_MANY:
            raise BenchmarkError(
                f"{_TOO_MANY} questions in a row could not be asked, the last one with "
                f"{type(error).__name__}: {error} That is not the images' fault. Mend it and start "
                f"again: the same command goes on."
            ) from error
        return error

    def _row(self, item: Item, found: Report | Exception) -> Mapping[str, Any]:
        """A line of the file."""
        row: dict[str, Any] = dict(item.fields)
        if isinstance(found, Exception):
            return row | {"error": f"{type(found).__name__}: {found}"} | asdict(self.manner)
        mentions = [
            {
                "word": mention.word,
                "object": mention.object,
                "svar": _number(mention.svar),
                "probability": _number(mention.probability),
                "flagged": mention.flagged,
            }
            for mention in found.mentions
        ]
        return row | {self._answer: found.text} | asdict(self.manner) | {"mentions": mentions}


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None
