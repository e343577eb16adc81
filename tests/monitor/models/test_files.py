"""Long lists of files: paths as any list has them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from sightline.monitor.models.files import FileList

SUFFIXES = frozenset({".png"})


def test_a_list_of_files_is_one_of_paths(tmp_path: Path) -> None:
    """By name within each folder, taken apart as a list is; what is given is kept as it is."""
    for folder, name in (("b", "2.png"), ("b", "1.PNG"), ("a", "3.png"), ("a", "notes.txt")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch()
    found = FileList.find([tmp_path / "b", "gone.png", tmp_path / "a"], SUFFIXES)
    expected = [
        tmp_path / "b" / "1.PNG",
        tmp_path / "b" / "2.png",
        Path("gone.png"),
        tmp_path / "a" / "3.png",
    ]
    assert list(found) == expected
    assert [str(path) for path in found[1::2]] == [str(path) for path in expected[1::2]]
    assert (len(found), found[-1]) == (4, expected[-1])


def test_names_take_little_room(tmp_path: Path) -> None:
    """Far less than a Path for each."""
    names = [f"{number:012d}.png" for number in range(1000)]
    tracemalloc.start()
    listed = FileList([str(tmp_path)] * len(names), names)
    small = tracemalloc.get_traced_memory()[0]
    paths = list(listed)
    large = tracemalloc.get_traced_memory()[0] - small
    tracemalloc.stop()
    assert len(paths) == 1000
    assert small < large / 5
