"""COCO output: one code path for the small world and for COCO itself; whole or not at all."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image
from sightline.calibration.scenes.catalogue import TYPES
from sightline.calibration.scenes.cli import scenes
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.render import SIDE


def _run(*args: object) -> Any:
    return CliRunner().invoke(scenes, ["render", *map(str, args)])


def test_render_writes_coco(tmp_path: Path) -> None:
    """Every image is there with its annotations, inside its bounds, of known categories."""
    out = tmp_path / "made" / "scenes"
    result = _run("--split", "test", "--n", 12, "--out", out)
    assert result.exit_code == 0, result.output
    data = json.loads((out / "instances.json").read_text())
    assert len(data["images"]) == 12
    assert {c["name"] for c in data["categories"]} == set(TYPES)
    images = {image["id"]: image for image in data["images"]}
    assert {a["image_id"] for a in data["annotations"]} <= set(images)
    assert len({a["id"] for a in data["annotations"]}) == len(data["annotations"])
    for annotation in data["annotations"]:
        left, top, width, height = annotation["bbox"]
        assert 0 <= left < left + width <= SIDE
        assert 0 <= top < top + height <= SIDE
        assert 0 < annotation["area"] <= width * height
        assert annotation["category_id"] in {c["id"] for c in data["categories"]}
    for image in images.values():
        with Image.open(out / image["file_name"]) as opened:
            assert opened.size == (image["width"], image["height"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made"]


def test_seed_and_split_give_the_same_scenes(tmp_path: Path) -> None:
    """--seed names any other range."""
    assert _run("--split", "test", "--n", 3, "--out", tmp_path / "a").exit_code == 0
    assert _run("--seed", 30_000_001, "--n", 2, "--out", tmp_path / "b").exit_code == 0
    for name in ("30000001.png", "30000002.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--split", "tset"), "'tset'"),
        (("--split", "test", "--n", "-1"), "-1"),
        (("--seed", "-5"), "-5"),
        ((), "--split or --seed"),
        (("--split", "test", "--seed", "1"), "--split or --seed"),
        (("--split", "samples", "--n", "101"), "101"),
    ],
)
def test_wrong_requests_write_nothing(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    """A wrong split, count or seed is a usage error that names the value."""
    result = _run(*args, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.output
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills up midway, no picture, no annotations and no folder are left."""
    count = 0
    save = Image.Image.save

    def fill_up(self: Image.Image, *args: Any, **kwargs: Any) -> None:
        nonlocal count
        count += 1
        if count > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "save", fill_up)
    result = _run("--split", "test", "--n", 6, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "nothing was written" in result.output
    assert "No space left" in result.output
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder one may not write to is refused before anything is drawn."""
    monkeypatch.setattr("os.access", lambda *_: False)
    result = _run("--split", "test", "--n", 2, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "writable" in result.output
    assert list(tmp_path.iterdir()) == []


def test_occupied_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds anything is refused and keeps it."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="new or empty"):
        export(range(3), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    """An empty folder is as good as a new one."""
    out = tmp_path / "out"
    out.mkdir()
    assert export(range(2), out).exists()
    assert len(list(out.glob("*.png"))) == 2
