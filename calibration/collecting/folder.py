"""The folder of a calibration table: whole parts, or none, and what they all have in common.

::

    table/
      table.json                what all parts share, and what their columns mean
      captions-000000.parquet   one row per image
      mentions-000000.parquet   one row per object mention of those captions
      captions-000001.parquet   ...

A part is there once its captions are: its mentions are written first, and either file appears with
all its content or not at all. Whatever stops a writer, what it leaves is a table, of fewer images.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from filelock import FileLock, Timeout

from .collected import CollectedCaption
from .columns import arrow, caption_rows, caption_schema, mention_rows, mention_schema
from .header import FORMAT, HEADER, TableError, TableHeader, read_header

_LOCK: Final = ".lock"
_PART: Final = re.compile(r"captions-(\d{6,})\.parquet")


def part_numbers(folder: Path) -> tuple[int, ...]:
    """The numbers of the whole parts in a folder, ascending."""
    found = (_PART.fullmatch(path.name) for path in folder.iterdir())
    return tuple(sorted(int(match[1]) for match in found if match))


def read_part(
    folder: Path, number: int, header: TableHeader, *, columns: Sequence[str] | None = None
) -> tuple[Any, Any]:
    """The captions and the mentions of a part, Arrow tables.

    Args:
        folder: of the table.
        number: of the part.
        header: of the table.
        columns: which of the mentions are wanted; all by default. Attention is nearly all there is.

    Raises:
        TableError: a file is truncated or damaged, or belongs to another table.
    """
    captions = _read(_captions(folder, number), header)
    mentions = _read(_mentions(folder, number), header, columns)
    expected = sum(captions["mentions"].to_pylist())
    if len(mentions) != expected:
        raise TableError(
            f"{_mentions(folder, number)} must hold the {expected} mentions of its captions, holds "
            f"{len(mentions)}. {_again(folder, number)}"
        )
    return captions, mentions


def read_all(folder: Path, header: TableHeader) -> tuple[Any, Any]:
    """The captions and the mentions of all parts, Arrow tables.

    Raises:
        TableError: a file is truncated or damaged, or belongs to another table.
    """
    parts = [read_part(folder, number, header) for number in part_numbers(folder)]
    shape = (len(header.layers), header.info.num_heads)
    captions = [caption_schema().empty_table(), *(captions for captions, _ in parts)]
    mentions = [mention_schema(*shape).empty_table(), *(mentions for _, mentions in parts)]
    return _joined(captions), _joined(mentions)


def write_new(folder: Path, header: TableHeader, parts: Iterator[tuple[Any, Any]]) -> None:
    """Write a table whose parts are known: captions and mentions, Arrow tables.

    Raises:
        TableError: the folder holds anything.
        OSError: it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TableError(f"{folder} must be a new or empty folder. Choose another.")
    folder.mkdir(parents=True, exist_ok=True)
    # The header comes last: without it, what a stopped writer leaves is no table.
    for number, (captions, mentions) in enumerate(parts):
        _write(_mentions(folder, number), mentions, header)
        _write(_captions(folder, number), captions, header)
    _write_text(folder / HEADER, header.to_json())


class TableFolder:
    """A table that is being collected, by one process at a time.

    Used as a context manager: it holds the folder's lock, which ends with the process whatever
    ends it.

    Args:
        folder: a new or empty one, or one in which the same collection was begun.
        header: of the collection.

    Raises:
        TableError: on entering, if the folder holds something else, a table of another model,
            prompt, annotations or share, or is written by another process.
    """

    def __init__(self, folder: Path, header: TableHeader) -> None:
        self.folder = folder
        self.header = header
        self._lock = FileLock(folder / _LOCK)
        self._next = 0
        self._done: set[str] | None = None  # read once: a large table takes seconds

    def __enter__(self) -> TableFolder:
        if self.folder.exists() and not self.folder.is_dir():
            raise TableError(f"{self.folder} must be a folder, it is a file. Choose another.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise TableError(
                f"Another process is writing {self.folder}. Wait for it, or give each process a "
                f"folder of its own and its --shard, and merge them in the end."
            ) from error
        except OSError as error:
            raise TableError(f"{self.folder} cannot be written: {error}.") from error
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def done(self) -> frozenset[str]:
        """The images that are in the table, those that failed included.

        Raises:
            TableError: a part is damaged.
        """
        if self._done is None:
            found: set[str] = set()
            for number in part_numbers(self.folder):
                captions, _ = read_part(self.folder, number, self.header, columns=["image_id"])
                found.update(captions["image_id"].to_pylist())
            self._done = found
        return frozenset(self._done)

    def write(self, captions: Sequence[CollectedCaption]) -> None:
        """Add a part: all of these captions, or none of them, will be in the table."""
        heads = self.header.info.num_heads
        mentions = mention_rows(captions, layers=len(self.header.layers), heads=heads)
        _write(_mentions(self.folder, self._next), mentions, self.header)
        _write(_captions(self.folder, self._next), caption_rows(captions), self.header)
        self._next += 1
        if self._done is not None:
            self._done.update(caption.image_id for caption in captions)

    def drop_failures(self) -> int:
        """Take out the rows of images that failed, so that they are tried again; how many.

        Part by part, each whole at any moment: stopped half-way, the others are still there.

        Raises:
            TableError: a part is damaged.
        """
        dropped = 0
        for number in part_numbers(self.folder):
            captions = _read(_captions(self.folder, number), self.header)
            good = captions["error"].is_null()
            lost = len(good) - good.to_pylist().count(True)
            if lost:
                _write(_captions(self.folder, number), captions.filter(good), self.header)
                dropped += lost
        self._done = None
        return dropped

    def finish(self) -> None:
        """Note that every image of the share is in the table."""
        self.header = replace(self.header, finished=True)
        _write_text(self.folder / HEADER, self.header.to_json())

    def _begin(self) -> None:
        path = self.folder / HEADER
        if path.exists():
            before = read_header(self.folder)
            self._check(before)
        elif any(entry.name != _LOCK and not _draft(entry) for entry in self.folder.iterdir()):
            raise TableError(
                f"{self.folder} must be new, empty or a table that was begun, it holds other "
                f"files. Choose another folder."
            )
        self.header = replace(self.header, finished=False)
        _write_text(path, self.header.to_json())
        numbers = part_numbers(self.folder)
        whole = {_mentions(self.folder, number) for number in numbers}
        for entry in self.folder.iterdir():
            if _draft(entry) or (entry.name.startswith("mentions-") and entry not in whole):
                entry.unlink()
        self._next = max(numbers, default=-1) + 1

    def _check(self, before: TableHeader) -> None:
        wrong = list(before.info.differences(self.header.info))
        if before.layers != self.header.layers:
            wrong.append(f"layers: {before.layers} and {self.header.layers}")
        now = self.header.share
        if (before.share.number, before.share.of) != (now.number, now.of):
            wrong.append(
                f"shard: {before.share.number}/{before.share.of} and {now.number}/{now.of}"
            )
        elif now.of > 1 and before.share != now:
            wrong.append("images or batch size, by which shards are dealt")
        if wrong:
            raise TableError(
                f"{self.folder} holds a table that was begun with other settings ("
                f"{'; '.join(wrong)}). Start with the settings it was begun with to continue it, "
                f"or choose another folder."
            )


def _captions(folder: Path, number: int) -> Path:
    return folder / f"captions-{number:06d}.parquet"


def _mentions(folder: Path, number: int) -> Path:
    return folder / f"mentions-{number:06d}.parquet"


def _draft(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".part")


@contextlib.contextmanager
def _drafted(path: Path) -> Iterator[Path]:
    """A draft that takes the place of ``path`` once it is written and on the disk."""
    draft = path.with_name(f".{path.name}.part")
    try:
        yield draft
        with draft.open("r+b") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name must survive, too; elsewhere folders cannot be synced
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_text(path: Path, text: str) -> None:
    with _drafted(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def _write(path: Path, rows: Any, header: TableHeader) -> None:
    pa = arrow()
    rows = rows.replace_schema_metadata({FORMAT: header.kind})
    # Words come again and again. A dictionary of numbers that never do takes time and room.
    words = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    with _drafted(path) as draft:
        pa.parquet.write_table(
            rows,
            draft,
            compression="zstd",
            compression_level=1,
            use_dictionary=words,
            write_page_checksum=True,
        )


def read_mentions(folder: Path, number: int, header: TableHeader, columns: Sequence[str]) -> Any:
    """Some columns of the mentions of a part, an Arrow table.

    Raises:
        TableError: the file is truncated or damaged, or belongs to another table.
    """
    return _read(_mentions(folder, number), header, columns)


def _read(path: Path, header: TableHeader, columns: Sequence[str] | None = None) -> Any:
    pa = arrow()
    again = _again(path.parent, int(path.stem.partition("-")[2]))
    try:
        # A whole file, never a data set of its folder; a row group never exceeds a batch.
        with pa.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            rows = file.read(columns=columns)
    except FileNotFoundError as error:
        raise TableError(f"{path} is missing. {again}") from error
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{path} is truncated or damaged: {error}. {again}") from error
    found = (rows.schema.metadata or {}).get(FORMAT.encode(), b"").decode()
    if found != header.kind:
        raise TableError(f"{path} is a part of another table. {again}")
    return rows


def _again(folder: Path, number: int) -> str:
    return (
        f"Delete {_captions(folder, number).name} and {_mentions(folder, number).name} there and "
        f"collect again with the same settings: only their images are captioned again."
    )


def refuse_repeats(image_ids: Sequence[str], where: object) -> None:
    """Refuse a table that has an image twice.

    Raises:
        TableError: one is; the message names some.
    """
    seen: set[str] = set()
    twice: set[str] = set()
    for image_id in image_ids:
        (twice if image_id in seen else seen).add(image_id)
    if twice:
        raise TableError(
            f"Every image may be there once, {len(twice)} are in {where} twice: "
            f"{', '.join(sorted(twice)[:5])}. Remove one of the two tables, or collect with "
            f"--shard."
        )


def by_number(image_id: str) -> tuple[int, str]:
    """Sorts image ids; those that are numbers, by number."""
    return len(image_id), image_id


def _joined(tables: Sequence[Any]) -> Any:
    return arrow().concat_tables([table.replace_schema_metadata(None) for table in tables])
