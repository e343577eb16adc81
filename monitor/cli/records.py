"""Reports on their way to files and pipes, one whole line at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from filelock import FileLock, Timeout

from ..errors import InputError
from ..report import Failure, Report

_BEGINS: Final = b'{"version":'


class RecordFile:
    """Appends records to a file so that it only ever holds whole lines.

    A write that fails half-way is taken back, and so is a line that a killed process left
    unfinished: its image is not done. One process at a time may write.

    Args:
        path: a file of reports, or one that is not there yet.

    Raises:
        InputError: on entering if another process writes to it, or its last line is no report.
        OSError: on entering if the file cannot be opened, on writing if the disk is full.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        self._file = -1

    def __enter__(self) -> RecordFile:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"One process at a time may write reports to {self.path}, and another one does. "
                f"Give each its own file (--shard, --out); files of reports can be joined by cat."
            ) from error
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            self._drop_unfinished()
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

    def _drop_unfinished(self) -> None:
        size = os.fstat(self._file).st_size
        whole, tail = size, b""
        while whole:
            start = max(0, whole - 65536)
            os.lseek(self._file, start, os.SEEK_SET)
            block = os.read(self._file, whole - start)
            newline = block.rfind(b"\n")
            tail = block[newline + 1 :] + tail
            whole = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        if not tail:
            return
        if tail[: len(_BEGINS)] != _BEGINS[: len(tail)]:
            raise InputError(
                f"{self.path} must be a file of reports to be gone on with, but its last line is "
                f"none: {tail[:40]!r}. Give another --out."
            )
        os.ftruncate(self._file, whole)

    def read(self) -> Iterator[Mapping[str, Any]]:
        """What the records say of themselves, in order, as JSON values.

        Of a caption that is all but its text, tokens and mentions, which fill nearly all of a line
        and need not be read to know whose it is and how it was made.

        Raises:
            InputError: a line is no report.
        """
        for number, line in enumerate(self._lines(), start=1):
            try:
                record = _heading(line)
            except ValueError:
                record = None
            if not isinstance(record, dict) or record.get("kind") not in ("caption", "failure"):
                raise InputError(
                    f"{self.path} must be a file of reports to be gone on with, but line "
                    f"{number} is none: {line[:40]!r}. Give another --out."
                )
            yield record

    def _lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from file

    def write(self, records: Sequence[Report | Failure]) -> None:
        """Append records, all of them or, where the disk is full, none."""
        lines = "".join(record.to_json() + "\n" for record in records).encode()
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, lines)
            if written != len(lines):
                raise OSError(f"only {written} of {len(lines)} bytes could be written")
        except OSError:
            os.ftruncate(self._file, before)
            raise

    def drop_failures(self) -> None:
        """Take out the lines of images that failed, so that they are tried again."""
        draft = self.path.with_name(self.path.name + ".part")
        try:
            with draft.open("wb") as file:
                for record, line in zip(self.read(), self._lines(), strict=True):
                    if record["kind"] == "caption":
                        file.write(line)
            draft.replace(self.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        os.close(self._file)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND)


def _heading(line: bytes) -> object:
    """A record without what stands between its text and its policy, if it is in that order."""
    # No such bytes can be in the middle of a string: there, its quotes would be escaped.
    text, policy = line.find(b',"text":'), line.rfind(b',"policy":')
    if 0 < text < policy:
        try:
            return json.loads(line[:text] + line[policy:])
        except ValueError:
            pass  # the order is another one; what is no JSON at all is found out below
    return json.loads(line)


def write_report(path: Path, record: Report | Failure) -> None:
    """Write one record as readable JSON; the file appears whole or not at all."""
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
