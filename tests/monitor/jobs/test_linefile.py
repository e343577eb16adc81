"""Files that grow by whole lines: cut anywhere, short of disk, wanted by two, somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sightline.monitor.errors import InputError
from sightline.monitor.jobs import linefile
from sightline.monitor.jobs.linefile import LineFile

WHOLE = b'{"n": 1}\n{"n": 2}\n'


def notes(path: Path) -> LineFile:
    """A file of lines that begin alike."""
    return LineFile(path, holds="notes", begins=b'{"n":', error=InputError)


@pytest.mark.parametrize("block", [3, 1 << 16])
def test_cut_at_any_byte_whole_lines_are_left(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is read from its end, what stands before the last newline stays."""
    monkeypatch.setattr(linefile, "_BLOCK", block)
    path = tmp_path / "notes.jsonl"
    for size in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:size])
        with notes(path) as file:
            left = b"".join(file.lines())
            assert left == WHOLE[: WHOLE[:size].rfind(b"\n") + 1]
            file.append('{"n": 3}\n')
        assert path.read_bytes() == left + b'{"n": 3}\n'


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    """A single line without a newline, as many tools write JSON, is no line that was cut."""
    path = tmp_path / "instances.json"
    path.write_bytes(b'{"images": [1, 2, 3]}')
    with pytest.raises(InputError, match="must be a file of notes"), notes(path):
        pass
    assert path.read_bytes() == b'{"images": [1, 2, 3]}'


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    """The second is told so, and may come when the first is done."""
    path = tmp_path / "notes.jsonl"
    with (
        notes(path) as file,
        pytest.raises(InputError, match=r"may write notes to .*another one does"),
        notes(path),
    ):
        pass
    with notes(path) as file:
        file.append("")


@pytest.mark.parametrize("full", [OSError(28, "No space left on device"), None])
def test_without_room_nothing_is_half_written(
    tmp_path: Path, full: OSError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the disk says so or takes a part of it."""
    path = tmp_path / "notes.jsonl"
    write = os.write

    def short(file: int, content: bytes) -> int:
        written = write(file, content[:3])
        if full is not None:
            raise full
        return written

    with notes(path) as file:
        file.append('{"n": 1}\n')
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", short)
            with pytest.raises(OSError, match=r"No space|only 3 of 9 bytes"):
                file.append('{"n": 2}\n')
        file.append('{"n": 3}\n')
    assert path.read_bytes() == b'{"n": 1}\n{"n": 3}\n'


def test_lines_are_replaced_at_once_or_not_at_all(tmp_path: Path) -> None:
    """What fails on the way leaves the old ones, and no draft."""
    path = tmp_path / "notes.jsonl"
    path.write_bytes(WHOLE)
    with notes(path) as file:
        with pytest.raises(ZeroDivisionError):
            file.replace(b"%d\n" % (1 // (line != WHOLE[9:])) for line in file.lines())
        assert path.read_bytes() == WHOLE
        file.replace(line for line in file.lines() if b"2" in line)
        file.append('{"n": 3}\n')
    assert path.read_bytes() == b'{"n": 2}\n{"n": 3}\n'
    assert sorted(one.name for one in tmp_path.iterdir() if not one.name.startswith(".")) == [
        "notes.jsonl"
    ]


def test_a_new_file_that_stays_empty_is_gone(tmp_path: Path) -> None:
    """A command that fails before its first line leaves nothing; an empty file of before stays."""
    path = tmp_path / "notes.jsonl"
    with pytest.raises(KeyboardInterrupt), notes(path):
        raise KeyboardInterrupt
    assert not path.exists()
    path.touch()
    with notes(path):
        pass
    assert path.exists()
