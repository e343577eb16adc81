"""Which captions are of the same image, and that image's picture, once."""

from __future__ import annotations

import posixpath
from pathlib import Path

from ..report import Failure, Report
from .thumbnails import side_of, thumbnail


def image_of(record: Report | Failure) -> str | None:
    """The path of a record's image as the report has it; ``None`` where it has none."""
    if isinstance(record, Failure):
        return record.image
    return None if record.image is None else record.image.path


class Images:
    """The images of a page, in the order of its entries.

    Args:
        base: the folder that relative paths start from.
        count: how many entries there will be: many get smaller pictures.
        compared: whether captions of one image stand together; its picture is then given out once.
    """

    def __init__(self, base: Path, *, count: int, compared: bool) -> None:
        self._base = base
        self._side = side_of(count)
        self._compared = compared
        self._first: dict[str, int] = {}
        self._shown: set[str] = set()

    def first(self, record: Report | Failure, place: int) -> int | None:
        """The entry that the one at ``place`` stands with: the first of the same image.

        Paths are the same that are written differently: ``./a.png``, ``a.png``.

        Returns:
            its place; ``None`` where there is none before, or captions are not compared.
        """
        path = image_of(record)
        if path is None or not self._compared:
            return None
        found = self._first.setdefault(_plain(path), place)
        return None if found == place else found

    def picture(self, record: Report | Failure) -> str | None:
        """Its picture as a ``data:`` address; ``None`` where it is gone or was given out."""
        path = image_of(record)
        if path is None or isinstance(record, Failure):
            return None
        if self._compared and _plain(path) in self._shown:
            return None
        found = thumbnail(self._base / path, side=self._side)
        if found is not None:
            self._shown.add(_plain(path))
        return found


def _plain(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/"))
