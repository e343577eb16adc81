"""What runs in a worker, without a cluster around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sightline.monitor.cli.captioner import Captioner, Content
from sightline.monitor.distributed.captioning import Captioning
from sightline.monitor.distributed.worker import ImageWorker, PartWorker
from sightline.monitor.errors import ModelError
from sightline.monitor.report import parse_record

pa = pytest.importorskip("pyarrow", reason="workers are handed Arrow tables: sightline[ray]")


@pytest.fixture
def folder(tmp_path: Path, pictures: list[Image.Image]) -> Iterator[Path]:
    """Two images and a broken one; the working directory is restored."""
    pictures[0].save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    pictures[1].save(tmp_path / "2.png")
    here = os.getcwd()
    yield tmp_path
    os.chdir(here)


@pytest.fixture
def captioning(tiny_folder: Path) -> Captioning:
    """A few words of the tiny model."""
    return Captioning(model=str(tiny_folder), max_new_tokens=5, prompt="What?")


def _part(number: int, *paths: str, done: tuple[int, ...] | None = None) -> Any:
    flags = [0] * len(paths) if done is None else list(done)
    return pa.Table.from_pylist(
        [{"number": number, "paths": list(paths), "done": flags}],
        schema=pa.schema(
            {"number": pa.int64(), "paths": pa.list_(pa.string()), "done": pa.list_(pa.int8())}
        ),
    )


def test_a_part_comes_back_as_records_of_what_was_missing(
    captioning: Captioning, folder: Path
) -> None:
    """Relative paths mean what they meant where the job began; what is done is left out."""
    make = PartWorker(captioning, 1, str(folder))
    (who,) = make(_part(-1)).to_pylist()
    assert '"max_new_tokens":5' in who["introduction"]
    assert who["records"] == []
    (row,) = make(_part(7, "0.png", "1.png", "2.png", done=(0, 0, 1))).to_pylist()
    first, second = map(parse_record, row["records"])
    assert row["number"] == 7
    assert row["introduction"] is None
    assert first.image is not None
    assert not isinstance(first.image, str)
    assert first.image.path == "0.png"
    assert second.kind == "failure"
    assert second.image == "1.png"


def test_a_model_that_cannot_be_had_is_told_in_a_row(folder: Path) -> None:
    """The worker stays and says why there are no records; one's own pipeline gets an error."""
    (row,) = PartWorker(Captioning(model="./none"), 1, str(folder))(_part(-1)).to_pylist()
    assert "none" in row["refused"]
    assert row["records"] is None
    asked = Captioning(policy="calibrated", threshold=0.4)
    with pytest.raises(ModelError, match="threshold of its own"):
        ImageWorker(asked, "path", None)(pa.table({"path": ["0.png"]}))


def test_rows_of_a_dataset_keep_what_they_have(captioning: Captioning, folder: Path) -> None:
    """Bytes go, names and other columns stay, and each row gets its report."""
    content = [(folder / name).read_bytes() for name in ("0.png", "1.png")]
    table = pa.table({"bytes": content, "path": ["a", "b"], "label": [1, 2]})
    found = ImageWorker(captioning, "bytes", "path")(table)
    assert found.column_names == ["path", "label", "kind", "report"]
    assert found.column("kind").to_pylist() == ["caption", "failure"]
    first = parse_record(found.column("report")[0].as_py())
    assert first.kind == "caption"
    assert first.image is not None
    assert first.image.path == "a"
    paths = pa.table({"path": [str(folder / "0.png")]})
    (again,) = ImageWorker(captioning, "path", None)(paths).to_pylist()
    same = parse_record(again["report"])
    assert same.kind == "caption"
    assert same.text == first.text
    assert str(Content("a", b"")) == "a"


def test_a_lost_device_fails_its_images_and_then_the_process(
    captioning: Captioning, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was busy with is recorded as failed, so that the job goes on; then it must go."""
    make = PartWorker(captioning, 1, str(folder))
    lost: list[Exception] = []
    real = Captioner.records

    def records(self: Captioner, batch: Any) -> Any:
        found = real(self, batch)
        lost.append(RuntimeError("bus error"))
        return found

    monkeypatch.setattr(Captioner, "records", records)
    monkeypatch.setattr(Captioner, "lost", property(lambda _: lost[0] if lost else None))
    (row,) = make(_part(0, "0.png", "2.png")).to_pylist()
    done, failed = map(parse_record, row["records"])
    assert done.kind == "caption"
    assert failed.kind == "failure"
    assert (failed.image, failed.message) == ("2.png", "bus error")

    class GoneError(Exception):
        """In place of the end of the process."""

    def leave(code: int) -> None:
        raise GoneError(code)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(GoneError):
        make(_part(2, "2.png"))
