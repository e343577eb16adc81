"""Reports on their way to files and pipes, one whole line at a time."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from ..report import Failure, Report


class RecordFile:
    """Appends records to a file so that it only ever holds whole lines.

    A write that fails half-way is taken back, and a line that an earlier process left unfinished
    is closed first. One process at a time may write.

    Raises:
        OSError: on entering if the file cannot be opened, on writing if the disk is full.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = -1

    def __enter__(self) -> RecordFile:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        size = os.fstat(self._file).st_size
        if size:
            os.lseek(self._file, size - 1, os.SEEK_SET)
            if os.read(self._file, 1) != b"\n":
                os.write(self._file, b"\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def write(self, record: Report | Failure) -> None:
        """Append one record."""
        line = (record.to_json() + "\n").encode()
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(f"only {written} of {len(line)} bytes could be written")
        except OSError:
            os.ftruncate(self._file, before)
            raise


def write_report(path: Path, record: Report | Failure) -> None:
    """Write one record as readable JSON; the file appears whole or not at all."""
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
