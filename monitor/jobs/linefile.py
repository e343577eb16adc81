"""A file that grows by whole lines, whatever kills who writes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from ..errors import SightlineError

_BLOCK = 1 << 16


class LineFile:
    """Appends lines to a file so that it only ever holds whole ones.

    A write that fails half-way is taken back, and what a killed process left of its last line is
    thrown away on entering. One process at a time may write; reading needs no ``with``. A new file
    that nothing was written to is gone on leaving.

    Args:
        path: a new file, or one that was begun by this class.
        holds: what its lines are, in the plural, for messages.
        begins: the bytes that every line begins with; a last line that is cut and begins otherwise
            is somebody else's, and the file is left as it is.
        error: what is raised where the file cannot be gone on with.
        elsewhere: what to do where another process writes to it.

    Raises:
        SightlineError: ``error``, on entering, if another process writes to it or it is another
            kind of file.
        OSError: on entering if the file cannot be opened, on writing if the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        holds: str,
        begins: bytes,
        error: type[SightlineError],
        elsewhere: str = "Wait for it, or give another file.",
    ) -> None:
        self.path = Path(path)
        self._holds = holds
        self._begins = begins
        self._error = error
        self._elsewhere = elsewhere
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        self._file = -1
        self._new = False

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise self._error(
                f"One process at a time may write {self._holds} to {self.path}, and another one "
                f"does. {self._elsewhere}"
            ) from error
        try:
            self._new = not self.path.exists()
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            self._drop_unfinished()
            self._opened()
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
            unused = self._new and not os.fstat(self._file).st_size
            os.close(self._file)
            self._file = -1
            if unused:
                self.path.unlink(missing_ok=True)
        self._lock.release()

    def lines(self) -> Iterator[bytes]:
        """The lines so far, each with its newline."""
        with self.path.open("rb") as file:
            yield from file

    def append(self, lines: str) -> None:
        """Append whole lines, all of them or, where the disk is full, none."""
        content = lines.encode()
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, content)
            if written != len(content):
                raise OSError(
                    f"{self.path}: only {written} of {len(content)} bytes could be written"
                )
        except OSError:
            os.ftruncate(self._file, before)
            raise

    def replace(self, lines: Iterable[bytes]) -> None:
        """Put other lines in place of all, at once; they may come from :meth:`lines`."""
        draft = self.path.with_name(self.path.name + ".part")
        try:
            with draft.open("wb") as file:
                file.writelines(lines)
            draft.replace(self.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        os.close(self._file)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND)

    def _opened(self) -> None:
        """The file holds whole lines and is this process's: time to look into it."""

    def _drop_unfinished(self) -> None:
        whole, tail = os.fstat(self._file).st_size, b""
        while whole:
            start = max(0, whole - _BLOCK)
            os.lseek(self._file, start, os.SEEK_SET)
            block = os.read(self._file, whole - start)
            newline = block.rfind(b"\n")
            tail = block[newline + 1 :] + tail
            whole = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        if not tail:
            return
        if tail[: len(self._begins)] != self._begins[: len(tail)]:
            raise self._error(
                f"{self.path} must be a file of {self._holds} to be gone on with, but its last "
                f"line is none: {tail[:40]!r}. Give another file."
            )
        os.ftruncate(self._file, whole)
