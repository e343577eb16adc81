"""Where reports are read from: files of lines, single reports as people read them, folders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from ..errors import InputError
from ..report import Failure, Report, parse_record

STDIN: Final = Path("-")
_SUFFIXES: Final = (".json", ".jsonl")


@dataclass(frozen=True, slots=True)
class Input:
    """Lines that can be read more than once.

    Attributes:
        path: as the user gave it; ``-`` for stdin.
        held: the lines of what can be read only once, such as a pipe; ``None`` for a file.
    """

    path: Path
    held: tuple[str, ...] | None = None

    @classmethod
    def of(cls, path: Path) -> Input:
        """The lines of a file, or of what streams in."""
        if path == STDIN:
            return cls(path, tuple(sys.stdin))
        if path.is_file():
            return cls(path)
        with path.open(encoding="utf-8-sig") as stream:
            return cls(path, tuple(stream))

    @property
    def name(self) -> str:
        """What errors call it."""
        return "stdin" if self.path == STDIN else str(self.path)

    @contextmanager
    def lines(self) -> Iterator[Iterable[str]]:
        """Its lines, from the first.

        Raises:
            InputError: on reading one that is not text.
        """
        if self.held is not None:
            yield self.held
            return
        try:
            with self.path.open(encoding="utf-8-sig") as file:
                yield file
        except UnicodeDecodeError as error:
            raise InputError(
                f"Reports must be UTF-8 text; {self.name} is not ({error.reason}). Name a file "
                f"that `sightline caption --out` wrote."
            ) from error

    def single(self) -> bool:
        """Whether it holds one report, written over many lines."""
        with self.lines() as lines:
            first = next((line for line in lines if line.strip()), "")
        return first.strip() == "{" and self.count() == 1

    def count(self) -> int:
        """How many reports there seem to be."""
        with self.lines() as lines:
            return sum(1 for _ in _documents(lines))

    def records(self) -> Iterator[Report | Failure]:
        """The reports, one at a time.

        Raises:
            InputError: something in it is no report; its line is named.
        """
        with self.lines() as lines:
            for number, text in _documents(lines):
                yield self._parsed(number, text)

    def _parsed(self, number: int, text: str) -> Report | Failure:
        try:
            return parse_record(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            many = "the text that begins in " if "\n" in text.strip() else ""
            raise InputError(
                f"Every line must be a report of `sightline caption`, or a file hold one report as "
                f"`sightline demo` writes it; {many}line {number} of {self.name} is none "
                f"({where + ': ' if where else ''}{first['msg']}). Remove it, or write the reports "
                f"again."
            ) from error


@dataclass(frozen=True, slots=True)
class Source:
    """Reports that belong together.

    Attributes:
        name: what readers know them by.
        inputs: where they are, in order.
        count: how many there are.
    """

    name: str
    inputs: tuple[Input, ...]
    count: int

    def records(self, step: Callable[[], object] = lambda: None) -> Iterator[Report | Failure]:
        """The reports, one at a time; ``step`` is called after each."""
        for one in self.inputs:
            for record in one.records():
                yield record
                step()


def sources(paths: Sequence[Path]) -> tuple[Source, ...]:
    """The sources that some files and folders make.

    A file of lines is one. So is a folder, with all its ``.json`` and ``.jsonl`` files, and so are
    files of the same folder that hold a single report each.

    Raises:
        InputError: there is no report in one of them.
        OSError: a file cannot be read.
    """
    found: dict[Path, list[Input]] = {}
    for path in dict.fromkeys(paths):
        if path != STDIN and path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in _SUFFIXES)
            found.setdefault(path, []).extend(map(Input.of, inside))
            continue
        one = Input.of(path)
        together = path.parent if len(paths) > 1 and one.single() else path
        found.setdefault(together, []).append(one)
    names = ["stdin" if path == STDIN else path.resolve().name for path in found]
    made = [
        Source(
            # Of two files of one name the folders tell which is which.
            name if names.count(name) == 1 else str(path),
            tuple(inputs),
            sum(one.count() for one in inputs),
        )
        for (path, inputs), name in zip(found.items(), names, strict=True)
    ]
    for source in made:
        if not source.count:
            raise InputError(
                f"{source.name} must hold reports and is empty. Write some: sightline caption."
            )
    return tuple(made)


def _documents(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """What stands in a line, or between a line ``{`` and a line ``}``, with its line's number."""
    begun = 0
    held: list[str] = []
    for number, line in enumerate(lines, start=1):
        if held:
            held.append(line)
            if line.rstrip() == "}":
                yield begun, "".join(held)
                held = []
        elif line.rstrip() == "{":
            begun, held = number, [line]
        elif line.strip():
            yield number, line
    if held:
        yield begun, "".join(held)
