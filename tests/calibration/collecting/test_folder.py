"""A table that is being written: one writer, whole parts, and only what it was begun for."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sightline.calibration.collecting.collected import CollectedCaption
from sightline.calibration.collecting.folder import TableFolder
from sightline.calibration.collecting.header import Share, TableHeader, TableInfo, read_header
from sightline.calibration.collecting.table import CalibrationTable, TableError

INFO = TableInfo("toy", "abc", "Toy", 2, 3, "What?", {"a": 1}, "coco", "0" * 64, lens=False)
HEADER = TableHeader(INFO, (0, 1), Share(1, 1, 2, "d"))


def caption(image: str) -> CollectedCaption:
    """A caption that mentions nothing."""
    return CollectedCaption(image, f"{image}.png", (), "a", tokens=1, finish="eos", seconds=0.1)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """The message says how two processes may share the work; the lock ends with the block."""
    with (
        TableFolder(tmp_path / "t", HEADER),
        pytest.raises(TableError, match=r"Another process is writing.*--shard"),
    ):
        TableFolder(tmp_path / "t", HEADER).__enter__()
    with TableFolder(tmp_path / "t", HEADER) as table:
        table.write([caption("1")])


def _hold(folder: Path, ready: Any) -> None:
    with TableFolder(folder, HEADER):
        ready.set()
        multiprocessing.Event().wait()


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    """The lock belongs to the process, not to a file that outlives it."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    writer = context.Process(target=_hold, args=(tmp_path / "t", ready))
    writer.start()
    assert ready.wait(20)
    with pytest.raises(TableError, match="Another process"):
        TableFolder(tmp_path / "t", HEADER).__enter__()
    writer.kill()
    writer.join()
    with TableFolder(tmp_path / "t", HEADER) as table:
        assert table.done() == frozenset()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (replace(HEADER, info=replace(INFO, model="other")), 'model: "toy" and "other"'),
        (replace(HEADER, info=replace(INFO, revision="def")), "revision"),
        (replace(HEADER, info=replace(INFO, prompt="Why?")), "prompt"),
        (replace(HEADER, info=replace(INFO, annotations="1" * 64)), "annotations"),
        (replace(HEADER, info=replace(INFO, settings={"a": 2})), "settings"),
        (replace(HEADER, info=replace(INFO, lens=True)), "lens"),
        (replace(HEADER, layers=(1,)), "layers"),
        (replace(HEADER, share=Share(1, 2, 2, "d")), "shard: 1/1 and 1/2"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, header: TableHeader, message: str) -> None:
    """A table holds one collection; what was there is not touched."""
    with TableFolder(tmp_path, HEADER) as table:
        table.write([caption("1")])
    with pytest.raises(TableError, match=message) as caught:
        TableFolder(tmp_path, header).__enter__()
    assert "choose another folder" in str(caught.value)
    assert CalibrationTable.load(tmp_path).image_ids == ("1",)


def test_a_shard_that_was_dealt_otherwise_is_refused(tmp_path: Path) -> None:
    """With other images or batches, shards would overlap; an unsharded table may grow."""
    with TableFolder(tmp_path / "s", replace(HEADER, share=Share(1, 2, 9, "d"))):
        pass
    with pytest.raises(TableError, match="images or batch size"):
        TableFolder(tmp_path / "s", replace(HEADER, share=Share(1, 2, 9, "e"))).__enter__()
    with TableFolder(tmp_path / "t", HEADER) as table:
        assert table.done() == frozenset()
        table.write([caption("1")])
        assert table.done() == {"1"}
        table.finish()
    assert read_header(tmp_path / "t").finished
    with TableFolder(tmp_path / "t", replace(HEADER, share=Share(1, 1, 3, "e"))) as table:
        assert not read_header(tmp_path / "t").finished
        table.write([caption("2")])
    assert CalibrationTable.load(tmp_path / "t").image_ids == ("1", "2")


@pytest.mark.parametrize("stop", ["mentions", "captions"])
def test_a_part_is_there_whole_or_not_at_all(
    tmp_path: Path, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before either file has its name, the part is not there, and its number is free."""
    real = Path.replace

    def stopped(self: Path, target: Path) -> Path:
        if Path(target).name.startswith(stop):
            raise KeyboardInterrupt
        return real(self, target)

    with TableFolder(tmp_path, HEADER) as table:
        table.write([caption("1")])
        monkeypatch.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            table.write([caption("2")])
        monkeypatch.undo()
    assert CalibrationTable.load(tmp_path).image_ids == ("1",)
    with TableFolder(tmp_path, HEADER) as table:
        assert table.done() == {"1"}
        assert not (tmp_path / "mentions-000001.parquet").exists()
        table.write([caption("2")])
    assert CalibrationTable.load(tmp_path).image_ids == ("1", "2")


def test_drafts_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    """What was being written when the process died is no part, and does not stay."""
    with TableFolder(tmp_path, HEADER) as table:
        table.write([caption("1")])
    draft = tmp_path / ".captions-000001.parquet.part"
    draft.write_bytes(b"PAR1 and then nothing")
    with TableFolder(tmp_path, HEADER) as table:
        assert table.done() == {"1"}
    assert not draft.exists()


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    """A folder with something else in it, or a file, is refused."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TableError, match="holds other files"):
        TableFolder(tmp_path, HEADER).__enter__()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(TableError, match="it is a file"):
        TableFolder(tmp_path / "notes.txt", HEADER).__enter__()


def test_a_damaged_part_is_refused_with_its_remedy(tmp_path: Path) -> None:
    """Continuing over a part that cannot be read would lose its images; deleting it redoes them."""
    with TableFolder(tmp_path, HEADER) as table:
        table.write([caption("1")])
        table.write([caption("2")])
    path = tmp_path / "captions-000000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with TableFolder(tmp_path, HEADER) as table:
        with pytest.raises(TableError, match=r"Delete captions-000000\.parquet"):
            table.done()
        path.unlink()
        (tmp_path / "mentions-000000.parquet").unlink()
        assert table.done() == {"2"}
