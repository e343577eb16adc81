"""The calibration table: what is written is what is read, in whatever order, or it is refused."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sightline.calibration.collecting import columns
from sightline.calibration.collecting.captions import read_captions
from sightline.calibration.collecting.collected import CollectedCaption, CollectedMention, label
from sightline.calibration.collecting.folder import TableFolder
from sightline.calibration.collecting.header import TableHeader
from sightline.calibration.collecting.table import CalibrationTable, TableError, TableInfo
from sightline.detectors.evidence import Evidence
from sightline.detectors.extras import remedy
from sightline.detectors.mentions import MentionEvidence, Mentions
from sightline.monitor.errors import SightlineError

LAYERS, HEADS = (0, 2), 3
INFO = TableInfo(
    model="toy",
    revision="abc",
    architecture="Toy",
    num_layers=3,
    num_heads=HEADS,
    prompt="What is there?",
    settings={"do_sample": False, "max_new_tokens": 9},
    lexicon="coco",
    annotations="0" * 64,
    lens=True,
)
HEADER = TableHeader(INFO, LAYERS)


def evidence(rng: np.random.Generator, *, lens: bool = True) -> Evidence:
    """Evidence drawn at random."""
    masses = rng.dirichlet(np.ones(4), (len(LAYERS), HEADS)).astype(np.float32)
    return Evidence(
        layers=LAYERS,
        masses=masses,
        log_prob=float(-rng.random()),
        entropy=float(rng.random()),
        margin=float(rng.random()),
        confidence=float(rng.random()) if lens else None,
        contributions=rng.normal(size=len(LAYERS)).astype(np.float32) if lens else None,
    )


def caption(image: int, mentions: int, *, cut: bool = False) -> CollectedCaption:
    """A caption of so many mentions, whose last has no naming row if it was cut."""
    rng = np.random.default_rng(image)
    found = [
        MentionEvidence(
            object=f"thing {place % 2}",
            index=place,
            word=3 * place,
            repeats=place // 2,
            predicting=evidence(rng),
            naming=None if cut and place == mentions - 1 else evidence(rng),
        )
        for place in range(mentions)
    ]
    return CollectedCaption(
        image_id=str(image),
        file=f"{image}.png",
        truth=("thing 0",),
        text="x " * mentions,
        mentions=tuple(
            CollectedMention("x", 2 * i, 2 * i + 1, one.index % 2, one)
            for i, one in enumerate(found)
        ),
        tokens=9,
        finish="length" if cut else "eos",
        seconds=0.5,
    )


def write(folder: Path, *parts: list[CollectedCaption], header: TableHeader = HEADER) -> Path:
    """A table of these parts."""
    with TableFolder(folder, header) as table:
        for part in parts:
            table.write(part)
        table.finish()
    return folder


def assert_same(one: CalibrationTable, other: CalibrationTable) -> None:
    """Equal in every number."""
    assert one.info == other.info
    assert one.image_ids == other.image_ids
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.images, other.images)
    for field in fields(Mentions):
        np.testing.assert_array_equal(
            getattr(one.mentions, field.name), getattr(other.mentions, field.name)
        )
    assert one.data_hash == other.data_hash


@pytest.fixture
def captions() -> list[CollectedCaption]:
    """Of images 2, 10 and 1: three mentions, none, and four of which the last was cut."""
    return [caption(2, 3), caption(10, 0), caption(1, 4, cut=True)]


def test_what_is_written_is_what_is_read(tmp_path: Path, captions: list[CollectedCaption]) -> None:
    """Every number of the evidence comes back bit by bit, sorted by image."""
    table = CalibrationTable.load(write(tmp_path / "t", captions))
    assert table.image_ids == ("1", "2", "10")
    assert len(table) == 7
    given = [m for one in (captions[2], captions[0]) for m in one.mentions]
    expected = Mentions.of([m.evidence for m in given])
    for field in fields(Mentions):
        np.testing.assert_array_equal(
            getattr(table.mentions, field.name), getattr(expected, field.name)
        )
    assert table.labels.tolist() == [m.label for m in given]
    assert table.images.tolist() == [0] * 4 + [1] * 3
    assert np.isnan(table.mentions.naming[3]).all()


def test_hash_does_not_depend_on_parts_or_time(
    tmp_path: Path, captions: list[CollectedCaption]
) -> None:
    """One part or three, in another order, captioned faster: the same content."""
    whole = CalibrationTable.load(write(tmp_path / "a", captions))
    faster = [[replace(one, seconds=0.1)] for one in reversed(captions)]
    assert_same(whole, CalibrationTable.load(write(tmp_path / "b", *faster)))
    order: npt.NDArray[np.int64] = np.array([2, 0, 1])
    assert whole.of_images(order).data_hash == whole.data_hash


@pytest.mark.parametrize("column", [f.name for f in fields(Mentions)[1:]] + ["labels"])
def test_hash_covers_every_column(
    tmp_path: Path, captions: list[CollectedCaption], column: str
) -> None:
    """One other value anywhere is another table."""
    table = CalibrationTable.load(write(tmp_path / "t", captions))
    owner = table if column == "labels" else table.mentions
    values = getattr(owner, column).copy()
    values[0] = "other" if column == "object" else 1 - values[0]
    changed = (
        replace(table, labels=values)
        if column == "labels"
        else replace(table, mentions=replace(table.mentions, **{column: values}))
    )
    assert changed.data_hash != table.data_hash
    assert replace(table, info=replace(INFO, prompt="What?")).data_hash != table.data_hash


def test_save_and_load(tmp_path: Path, captions: list[CollectedCaption]) -> None:
    """A table that was cut in memory can be written."""
    table = CalibrationTable.load(write(tmp_path / "t", captions))
    part = table.of_images(np.array([0, 2]))
    part.save(tmp_path / "part")
    assert_same(part, CalibrationTable.load(tmp_path / "part"))
    empty = table.of_images(np.array([], np.int64))
    empty.save(tmp_path / "empty")
    assert len(CalibrationTable.load(tmp_path / "empty")) == 0
    with pytest.raises(TableError, match="new or empty"):
        part.save(tmp_path / "part")


def test_captions_come_back(tmp_path: Path, captions: list[CollectedCaption]) -> None:
    """Texts, truths and what they mention, those that failed included."""
    failed = CollectedCaption("3", "3.png", ("thing 0",), error="ImageError: broken")
    folder = write(tmp_path / "t", [*captions, failed])
    found = read_captions(folder)
    assert [one.image_id for one in found] == ["1", "2", "3", "10"]
    assert found[0].objects == ("thing 0", "thing 1", "thing 0", "thing 1")
    assert found[0].labels == (0, 1, 0, 1)
    assert (found[1].text, found[1].finish, found[1].truth) == ("x x x ", "eos", ("thing 0",))
    assert found[2].error == "ImageError: broken"
    assert CalibrationTable.load(folder).image_ids == ("1", "2", "10")


def test_unlabelled_mentions_are_marked_and_left_out(tmp_path: Path) -> None:
    """Where nobody looked for an object, nothing is guessed."""
    assert [label(name, {"a"}, {"a", "b"}) for name in "abc"] == [0, 1, None]
    one = caption(1, 3)
    marked = replace(one, mentions=(replace(one.mentions[0], label=None), *one.mentions[1:]))
    table = CalibrationTable.load(write(tmp_path / "t", [marked]))
    assert (len(table), table.unlabelled) == (2, 1)
    assert table.mentions.index.tolist() == [1, 2]


def test_tables_are_concatenated(tmp_path: Path) -> None:
    """Two halves are the whole; other models and the same image twice are refused."""
    halves = [
        CalibrationTable.load(write(tmp_path / str(i), [caption(i, 2), caption(i + 5, 1)]))
        for i in range(2)
    ]
    both = CalibrationTable.concatenate(halves)
    whole = write(tmp_path / "w", [caption(i, 2) for i in (0, 1)], [caption(5, 1), caption(6, 1)])
    assert both.data_hash == CalibrationTable.load(whole).data_hash
    with pytest.raises(TableError, match="Every image may be there once, 2 are"):
        CalibrationTable.concatenate([halves[0], halves[0]])
    other = replace(halves[1], info=replace(INFO, revision="def"))
    with pytest.raises(TableError, match='revision: "abc" and "def"'):
        CalibrationTable.concatenate([halves[0], other])
    with pytest.raises(TableError, match="got none"):
        CalibrationTable.concatenate([])


def test_an_unfinished_table_says_so(tmp_path: Path) -> None:
    """Stopped and not continued, a table can be read and knows that images are missing."""
    with TableFolder(tmp_path / "t", HEADER) as writer:
        writer.write([caption(1, 2)])
    half = CalibrationTable.load(tmp_path / "t")
    assert not half.complete
    half.save(tmp_path / "saved")
    assert not CalibrationTable.load(tmp_path / "saved").complete
    whole = CalibrationTable.load(write(tmp_path / "w", [caption(2, 2)]))
    assert whole.complete
    assert not CalibrationTable.concatenate([whole, half]).complete


def test_an_image_twice_is_refused(tmp_path: Path) -> None:
    """However it came there, its mentions would count twice."""
    folder = write(tmp_path / "t", [caption(1, 2)], [caption(1, 2)])
    with pytest.raises(TableError, match="twice: 1"):
        CalibrationTable.load(folder)


@pytest.mark.parametrize("keep", [0, 100, 0.5, -1])
@pytest.mark.parametrize("file", ["captions-000000.parquet", "mentions-000000.parquet"])
def test_truncated_parts_are_refused(tmp_path: Path, file: str, keep: float) -> None:
    """The message names the file and what to delete."""
    path = write(tmp_path / "t", [caption(1, 2)]) / file
    content = path.read_bytes()
    size = int(keep * len(content)) if 0 < keep < 1 else int(keep)
    path.write_bytes(content[:size])
    with pytest.raises(TableError, match=r"truncated or damaged.*Delete captions-0"):
        CalibrationTable.load(tmp_path / "t")


def test_changed_bytes_are_noticed(tmp_path: Path) -> None:
    """A page's checksum tells of a flipped bit in the masses."""
    path = write(tmp_path / "t", [caption(1, 40)]) / "mentions-000000.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(TableError, match="truncated or damaged"):
        CalibrationTable.load(tmp_path / "t")


def test_parts_of_another_table_are_refused(tmp_path: Path) -> None:
    """A file that was copied into the folder, or that lacks mentions of its captions."""
    one = write(tmp_path / "a", [caption(1, 2)])
    other = TableHeader(replace(INFO, prompt="What?"), LAYERS)
    two = write(tmp_path / "b", [caption(2, 2)], header=other)
    for kind in ("captions", "mentions"):
        (two / f"{kind}-000000.parquet").rename(one / f"{kind}-000001.parquet")
    with pytest.raises(TableError, match="part of another table"):
        CalibrationTable.load(one)
    three = write(tmp_path / "c", [caption(1, 2)], [caption(2, 3)])
    (three / "mentions-000001.parquet").replace(three / "mentions-000000.parquet")
    with pytest.raises(TableError, match="must hold the 2 mentions of its captions, holds 3"):
        CalibrationTable.load(three)


def test_missing_mentions_are_refused(tmp_path: Path) -> None:
    """Captions without their mentions are half a part."""
    folder = write(tmp_path / "t", [caption(1, 2)])
    (folder / "mentions-000000.parquet").unlink()
    with pytest.raises(TableError, match=r"mentions-000000\.parquet is missing"):
        CalibrationTable.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2.*Read it with the sightline that wrote it"),
        ({"format": "other"}, "does not say that it is"),
        ({"info": {}}, "lacks or adds an entry"),
        ({"layers": ["a"]}, "lacks or adds an entry"),
    ],
)
def test_other_headers_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """A future version, something else, or a file that was edited."""
    folder = write(tmp_path / "t", [caption(1, 1)])
    path = folder / "table.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(TableError, match=message):
        CalibrationTable.load(folder)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    """The message says how one is made; half a header is damage."""
    with pytest.raises(TableError, match=r"has none. sightline calibrate collect"):
        CalibrationTable.load(tmp_path)
    (tmp_path / "table.json").write_text('{"format": ')
    with pytest.raises(TableError, match="cannot be read"):
        CalibrationTable.load(tmp_path)


def test_mentions_of_no_caption_are_refused(tmp_path: Path) -> None:
    """Rows that were changed by hand are not taken for data."""
    folder = write(tmp_path / "t", [caption(1, 2)])
    path = folder / "mentions-000000.parquet"
    rows = pq.ParquetFile(path).read()
    column = pa.array(["7"] * len(rows))
    pq.write_table(rows.set_column(0, "image_id", column), path)
    with pytest.raises(TableError, match="must be of a captioned image, '7' is none"):
        CalibrationTable.load(folder)


def test_columns_are_documented(tmp_path: Path) -> None:
    """Every column of the files has its meaning in table.json, and the files open anywhere."""
    folder = write(tmp_path / "t", [caption(1, 2)])
    said = json.loads((folder / "table.json").read_text())["columns"]
    for kind in ("captions", "mentions"):
        names = pq.read_table(folder / f"{kind}-000000.parquet").column_names
        assert names == list(said[kind])
        assert all(said[kind].values())


def test_without_pyarrow_the_remedy_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibration is an extra: its absence is no ImportError from somewhere inside."""
    folder = write(tmp_path / "t", [caption(1, 2)])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SightlineError, match=re.escape(remedy("calibration"))):
        columns.arrow()
    with pytest.raises(SightlineError, match="not installed"):
        CalibrationTable.load(folder)
