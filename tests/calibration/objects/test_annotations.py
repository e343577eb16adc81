"""Which objects are in which image, read from files good and bad."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from sightline.calibration.objects.annotations import AnnotationError, Annotations
from sightline.monitor.language.lexicon import Lexicon

COCO = Lexicon.load("coco")

INSTANCES: dict[str, Any] = {
    "info": {"year": 2014},
    "images": [
        {"id": 139, "file_name": "COCO_val2014_000000000139.jpg", "width": 640},
        {"id": 285, "file_name": "COCO_val2014_000000000285.jpg"},
        {"id": 632, "file_name": "COCO_val2014_000000000632.jpg"},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 72, "name": "tv"}],
    "annotations": [
        {"id": 1, "image_id": 139, "category_id": 72, "iscrowd": 0},
        {"id": 2, "image_id": 139, "category_id": 1, "iscrowd": 1},
        {"id": 3, "image_id": 139, "category_id": 1, "iscrowd": 0},
        {"id": 4, "image_id": 285, "category_id": 1, "iscrowd": 0},
    ],
}


def _write(folder: Path, content: object) -> Path:
    path = folder / "annotations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def test_coco_instances(tmp_path: Path) -> None:
    """Objects are collected by image, crowds included; an image without any holds none."""
    path = _write(tmp_path, INSTANCES)
    found = Annotations.load(path, COCO)
    assert found.objects == {
        "139": frozenset({"person", "tv"}),
        "285": frozenset({"person"}),
        "632": frozenset(),
    }
    assert found.file_names["285"] == "COCO_val2014_000000000285.jpg"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.truth("139") == {"person", "tv"}


def test_plain_annotations_may_use_any_form_of_a_name(tmp_path: Path) -> None:
    """A JSON object from image id to names; synonyms and inflected forms become canonical."""
    found = Annotations.load(_write(tmp_path, {"a": ["Women", "Television"], "7": []}), COCO)
    assert found.objects == {"a": frozenset({"person", "tv"}), "7": frozenset()}
    assert found.file_names == {}


def test_the_samples_that_ship_can_be_read() -> None:
    """The small world writes what this reads, under its own lexicon."""
    samples = files("sightline.monitor") / "data" / "samples" / "instances.json"
    with as_file(samples) as path:
        found = Annotations.load(path, Lexicon.load("small"))
    assert len(found.objects) == 6
    assert found.find("samples/40000003.png") == "40000003"
    assert all(found.objects.values())


@pytest.mark.parametrize(
    "image",
    [
        "COCO_val2014_000000000285.jpg",
        "some/folder/COCO_val2014_000000000285.jpg",
        "285.png",
        "000000000285.jpg",
        "285",
        "COCO_train2014_000000000285.jpg",
    ],
)
def test_an_image_is_found_by_its_file(tmp_path: Path, image: str) -> None:
    """By COCO's file name wherever it lies, by its id, or by the number that its name is."""
    assert Annotations.load(_write(tmp_path, INSTANCES), COCO).find(image) == "285"


def test_folders_tell_images_of_one_name_apart(tmp_path: Path) -> None:
    """Two images of one base name are told apart by their folder, and are an error without."""
    data = {
        **INSTANCES,
        "images": [{"id": 1, "file_name": "a/x.jpg"}, {"id": 2, "file_name": "b/x.jpg"}],
        "annotations": [],
    }
    found = Annotations.load(_write(tmp_path, data), COCO)
    assert found.find("/data/b/x.jpg") == "2"
    with pytest.raises(AnnotationError, match=r"one image called 'x\.jpg', there are 2"):
        found.find("x.jpg")


def test_an_image_without_annotation_is_named(tmp_path: Path) -> None:
    """Neither an unknown id nor an unknown file has an empty truth."""
    found = Annotations.load(_write(tmp_path, INSTANCES), COCO)
    with pytest.raises(AnnotationError, match=r"annotates 3 images .*'140' is not among them"):
        found.truth("140")
    for stranger in ("photo.jpg", "IMG_285.jpg", "photo285.jpg", "", "2.8.5.jpg"):
        with pytest.raises(AnnotationError, match="none of them answers to"):
            found.find(stranger)


def _with(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = copy.deepcopy(INSTANCES)
    change(data)
    return data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(INSTANCES)[:200], "The file ends too early"),
        (json.dumps(INSTANCES)[:55], "The file ends too early"),
        ("", "The file ends too early"),
        ('{"1": ["cat"]} x', "reading stopped at character 15 of 16: Extra data"),
        ([1], "was: a list"),
        ({}, "annotates none"),
        ({"1": "cat"}, "image '1' has: cat"),
        ({"1": [1]}, "list of object names"),
        ({"1": ["cat", "sofa bed", "wug"]}, "2 of its names are not there: 'sofa bed', 'wug'"),
        ('{"1": ["cat"], "1": ["dog"]}', "there twice: '1'"),
        ({"images": []}, "missing: annotations, categories"),
        (_with(lambda d: d["images"].append(d["images"][0])), "id 139 is there twice"),
        (_with(lambda d: d["images"][0].update(id="285")), "'285' is there twice"),
        (
            _with(lambda d: d["images"].append({**d["images"][0], "id": 5})),
            "'COCO_val2014_000000000139.jpg' is there twice",
        ),
        (_with(lambda d: d["images"][0].pop("file_name")), "number 0 is"),
        (_with(lambda d: d["categories"][0].update(name="wug")), "not there: 'wug'"),
        (_with(lambda d: d["annotations"][3].update(image_id=140)), "of image 140, which it"),
        (_with(lambda d: d["annotations"][3].update(category_id=9)), "of category 9, which it"),
        (_with(lambda d: d["annotations"][3].pop("image_id")), "number 3 is"),
        (_with(lambda d: d["annotations"].append(7)), "number 4 is: 7"),
        (_with(lambda d: d["annotations"][3].update(image_id=[1])), "image_id and a category_id"),
    ],
)
def test_faulty_annotations_are_refused(tmp_path: Path, content: object, message: str) -> None:
    """Each fault is named, with the value seen."""
    with pytest.raises(AnnotationError, match=message):
        Annotations.load(_write(tmp_path, content), COCO)


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    """A missing file and a picture are told apart from bad JSON."""
    with pytest.raises(AnnotationError, match="could not be read"):
        Annotations.load(tmp_path / "none.json", COCO)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe\r\n")
    with pytest.raises(AnnotationError, match="must be JSON"):
        Annotations.load(tmp_path / "image.png", COCO)
