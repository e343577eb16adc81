"""The captions of a calibration table, for whoever reads them without their evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .folder import by_number, part_numbers, read_part
from .header import read_header

_NAMED: Final = ("image_id", "index", "object", "label")


@dataclass(frozen=True, slots=True)
class TableCaption:
    """A caption of a table, without the evidence of its mentions.

    Attributes:
        image_id: as in the annotations.
        file: name of the image file.
        truth: canonical names of the objects in the image, in order of the alphabet.
        objects: canonical names of the objects that the caption mentions, in order.
        labels: of each, 1 where the image holds no such object, ``None`` where that is not known.
        text: the caption; ``None`` where the image could not be captioned.
        tokens: generated tokens, the end token included.
        finish: ``eos``, ``length`` or ``stopped``; ``None`` where there is no caption.
        seconds: from the start of its batch to its end.
        error: where it could not be captioned, what happened.
    """

    image_id: str
    file: str
    truth: tuple[str, ...]
    objects: tuple[str, ...]
    labels: tuple[int | None, ...]
    text: str | None
    tokens: int
    finish: str | None
    seconds: float | None
    error: str | None


def each_caption(folder: str | Path) -> Iterator[TableCaption]:
    """The captions of a table, part by part as they were written, those that failed included.

    One part is in memory, however large the table is.

    Raises:
        TableError: as ``CalibrationTable.load``.
    """
    folder = Path(folder)
    header = read_header(folder)
    for number in part_numbers(folder):
        captions, mentions = read_part(folder, number, header, columns=_NAMED)
        named: dict[str, list[tuple[int, str, int | None]]] = {}
        columns = (mentions[name].to_pylist() for name in _NAMED)
        for image_id, *mention in zip(*columns, strict=True):
            named.setdefault(image_id, []).append(tuple(mention))
        for row in captions.drop_columns("mentions").to_pylist():
            mentioned = sorted(named.get(row["image_id"], ()), key=lambda mention: mention[0])
            row["truth"] = tuple(row["truth"])
            row["objects"] = tuple(name for _, name, _ in mentioned)
            row["labels"] = tuple(label for _, _, label in mentioned)
            yield TableCaption(**row)


def read_captions(folder: str | Path) -> tuple[TableCaption, ...]:
    """The captions of a table, by image, those that failed included.

    Raises:
        TableError: as ``CalibrationTable.load``.
    """
    return tuple(sorted(each_caption(folder), key=lambda one: by_number(one.image_id)))
