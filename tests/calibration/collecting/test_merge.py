"""Several tables made one, or refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sightline.calibration.collecting.collected import CollectedCaption
from sightline.calibration.collecting.folder import TableFolder
from sightline.calibration.collecting.header import Share, TableHeader, TableInfo, read_header
from sightline.calibration.collecting.merge import merge
from sightline.calibration.collecting.table import CalibrationTable, TableError

INFO = TableInfo("toy", "abc", "Toy", 2, 3, "What?", {"a": 1}, "coco", "0" * 64, lens=False)
HEADER = TableHeader(INFO, (0, 1))


def table(folder: Path, *images: str, header: TableHeader = HEADER, finished: bool = True) -> Path:
    """A table of captions that mention nothing, one part each."""
    with TableFolder(folder, header) as writer:
        for image in images:
            writer.write(
                [CollectedCaption(image, image, (), "a", tokens=1, finish="eos", seconds=0.1)]
            )
        if finished:
            writer.finish()
    return folder


def shard(number: int, dealt: str = "d") -> TableHeader:
    """The header of one of three shards."""
    return replace(HEADER, share=Share(number, 3, 6, dealt))


def test_shards_are_merged(tmp_path: Path) -> None:
    """All images are there, the table is finished, and the order of the shards is no matter."""
    parts = [table(tmp_path / str(i), f"{i}0", f"{i}1", header=shard(i)) for i in (1, 2, 3)]
    found = merge(parts, tmp_path / "all")
    assert (found.images, found.mentions, found.doubts) == (6, 0, ())
    header = read_header(tmp_path / "all")
    assert header.finished
    assert header.share.of == 1
    merge(parts[::-1], tmp_path / "again")
    both = [CalibrationTable.load(tmp_path / name) for name in ("all", "again")]
    assert both[0].image_ids == ("10", "11", "20", "21", "30", "31")
    assert both[0].data_hash == both[1].data_hash


def test_what_may_be_missing_is_said(tmp_path: Path) -> None:
    """A shard that is absent and one that is not finished; the result is not finished either."""
    parts = [
        table(tmp_path / "1", "10", header=shard(1)),
        table(tmp_path / "3", "30", header=shard(3), finished=False),
    ]
    found = merge(parts, tmp_path / "all")
    assert found.doubts == (
        f"{tmp_path / '3'} is not finished: some of its images are missing.",
        "Shards that are missing: 2/3.",
    )
    assert not read_header(tmp_path / "all").finished


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (replace(HEADER, info=replace(INFO, model="other")), "model"),
        (replace(HEADER, info=replace(INFO, prompt="Why?")), "prompt"),
        (replace(HEADER, info=replace(INFO, annotations="1" * 64)), "annotations"),
        (replace(HEADER, layers=(0,)), "layers"),
        (shard(1), "how shards were dealt"),
    ],
)
def test_tables_of_another_kind_are_refused(
    tmp_path: Path, header: TableHeader, message: str
) -> None:
    """The message says in what they differ, and nothing is written."""
    parts = [table(tmp_path / "a", "1"), table(tmp_path / "b", "2", header=header)]
    with pytest.raises(TableError, match=message):
        merge(parts, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_shards_that_were_dealt_differently_are_refused(tmp_path: Path) -> None:
    """Shards of other images or batch sizes overlap and leave gaps."""
    parts = [
        table(tmp_path / "1", "10", header=shard(1)),
        table(tmp_path / "2", "20", header=shard(2, "e")),
    ]
    with pytest.raises(TableError, match="batch size"):
        merge(parts, tmp_path / "all")


def test_the_same_image_twice_is_refused(tmp_path: Path) -> None:
    """The message names the image and both tables."""
    parts = [table(tmp_path / "a", "1", "2"), table(tmp_path / "b", "3", "2")]
    with pytest.raises(TableError, match=r"2 of .*b are also in .*a"):
        merge(parts, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_damage_is_found_before_anything_is_written(tmp_path: Path) -> None:
    """A truncated part of the last table stops the merge at once."""
    parts = [table(tmp_path / "a", "1"), table(tmp_path / "b", "3")]
    path = parts[1] / "captions-000000.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(TableError, match="truncated"):
        merge(parts, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_where_it_goes_must_be_empty(tmp_path: Path) -> None:
    """One of the tables, say, is not overwritten."""
    one = table(tmp_path / "a", "1")
    with pytest.raises(TableError, match="new or empty"):
        merge([one], one)
    with pytest.raises(TableError, match="got none"):
        merge([], tmp_path / "all")
