"""The hash of a table's content, whatever its size: a few of its parts are in memory at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...detectors.mentions import Mentions
from .columns import column_of
from .folder import by_number, part_numbers, read_mentions, read_part, refuse_repeats
from .header import TableError, TableHeader, read_header

_AT_HAND: Final = 16
"""Parts that are kept: neighbours among the images may be in so many."""

_LAST_COLUMNS: Final = tuple(field.name for field in fields(Mentions)[2:])


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """Where each labelled mention is, in the order of images and mentions.

    Attributes:
        image_ids: of the captioned images, in order.
        image: int64 ``[n]``, position in ``image_ids``.
        part: int64 ``[n]``, number of the part.
        row: int64 ``[n]``, row in the part.
        label: int64 ``[n]``.
        object: int64 ``[n]``, position in ``objects``.
        objects: canonical names.
    """

    image_ids: tuple[str, ...]
    image: npt.NDArray[np.int64]
    part: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    object: npt.NDArray[np.int64]
    objects: tuple[str, ...]

    def runs(self) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Part after part, the rows that come next."""
        ends = np.flatnonzero(np.diff(self.part)) + 1
        for rows in np.split(np.arange(len(self.part)), ends):
            if len(rows):
                yield int(self.part[rows[0]]), self.row[rows]


def data_hash(folder: str | Path) -> str:
    """What :attr:`.CalibrationTable.data_hash` is of the table in a folder.

    Raises:
        TableError: as ``CalibrationTable.load``.
    """
    folder = Path(folder)
    header = read_header(folder)
    index = _index(folder, header)
    whole = hashlib.sha256()
    heading = [asdict(header.info), header.layers, index.image_ids]
    whole.update(json.dumps(heading, sort_keys=True).encode())
    names = [json.dumps(name) for name in index.objects]
    whole.update(b"[")
    for place, number in enumerate(index.object):
        whole.update((", " * (place > 0) + names[number]).encode())
    whole.update(b"]")
    whole.update(index.label.astype("<i8").tobytes())
    whole.update(index.image.astype("<i8").tobytes())
    for name in _LAST_COLUMNS:
        for values in _column(folder, header, index, name):
            whole.update(values.tobytes())
    return whole.hexdigest()


def _column(
    folder: Path, header: TableHeader, index: _Index, name: str
) -> Iterator[npt.NDArray[Any]]:
    @lru_cache(maxsize=_AT_HAND)
    def part(number: int) -> npt.NDArray[Any]:
        return column_of(read_mentions(folder, number, header, [name]), name)

    for number, rows in index.runs():
        values = part(number)[rows]
        if values.dtype.kind in "iu":
            yield values.astype("<i8")
            continue
        values = values.astype("<f4")
        values[np.isnan(values)] = np.nan  # there are many NaNs; one stands for all
        yield values


def _index(folder: Path, header: TableHeader) -> _Index:
    known: list[str] = []
    captioned: dict[str, int] = {}
    objects: dict[str, int] = {}
    found: list[npt.NDArray[np.int64]] = []
    columns = ("image_id", "index", "object", "label")
    for number in part_numbers(folder):
        captions, mentions = read_part(folder, number, header, columns=columns)
        failed = captions["error"].is_valid().to_pylist()
        ids = captions["image_id"].to_pylist()
        known += ids
        for image_id, bad in zip(ids, failed, strict=True):
            if not bad:
                captioned.setdefault(image_id, len(captioned))
        try:
            images = [captioned[image_id] for image_id in mentions["image_id"].to_pylist()]
        except KeyError as error:
            raise TableError(
                f"Every mention in {folder} must be of a captioned image, {error} is none. The "
                f"table was changed by hand: collect it again."
            ) from error
        named = [objects.setdefault(o, len(objects)) for o in mentions["object"].to_pylist()]
        labels = mentions["label"].fill_null(-1).to_numpy().astype(np.int64)
        rows = np.arange(len(mentions))
        at = np.full(len(mentions), number)
        columns_of_part = (images, column_of(mentions, "index"), at, rows, labels, named)
        found.append(np.array(columns_of_part, np.int64).reshape(6, -1))
    refuse_repeats(known, folder)
    table = np.concatenate([np.empty((6, 0), np.int64), *found], axis=1)
    ids = sorted(captioned, key=by_number)
    rank = np.empty(len(ids), np.int64)
    rank[[captioned[image_id] for image_id in ids]] = np.arange(len(ids))
    table = table[:, table[4] >= 0]
    table[0] = rank[table[0]]
    image, _, part, row, label, name = table[:, np.lexsort((table[1], table[0]))]
    return _Index(tuple(ids), image, part, row, label, name, tuple(objects))
