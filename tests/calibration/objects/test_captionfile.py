"""Captions from files: reports, plain lines, and everything that can be wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sightline.calibration.objects.annotations import Annotations
from sightline.calibration.objects.captionfile import Caption, CaptionError, CaptionFile, match

ANNOTATIONS = Annotations(
    {"139": frozenset({"person", "tv"}), "285": frozenset({"bear"}), "632": frozenset()},
    {"139": "COCO_val2014_000000000139.jpg", "285": "b.jpg", "632": "c.jpg"},
)


def report(path: str | None, text: str, finish: str = "eos") -> dict[str, Any]:
    """A report of the monitor with no more in it than it must have."""
    seen = {"path": path, "width": 1, "height": 1, "format": "PNG", "mode": "RGB", "frames": 1}
    return {
        "version": 1,
        "kind": "caption",
        "model": {"name": "m", "architecture": "a", "dtype": "float32", "device": "cpu"},
        "prompt": "p",
        "image": None if path is None else seen,
        "image_tokens": 1,
        "settings": {},
        "layers": {"first": 0, "last": 1, "source": "user"},
        "calibration": "uncalibrated",
        "text": text,
        "tokens": [],
        "mentions": [],
        "finish": finish,
        "truncated": finish in ("length", "interrupted"),
        "timings": {"first_token": None, "total": None},
    }


FAILURE = {"version": 1, "kind": "failure", "image": "d.jpg", "error": "OSError", "message": "no"}


def write(folder: Path, *lines: object) -> Path:
    """A file with these lines, what is no text as JSON."""
    path = folder / "captions.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_plain_lines(tmp_path: Path) -> None:
    """Numbers and texts are ids; further keys and blank lines are passed over."""
    path = write(
        tmp_path,
        {"image_id": 139, "caption": "A man.", "model": "m"},
        "",
        {"image_id": "285", "caption": ""},
    )
    assert CaptionFile.load(path).captions == (
        Caption("139", "A man.", None, 1),
        Caption("285", "", None, 3),
    )


def test_reports_know_how_they_ended(tmp_path: Path) -> None:
    """A report's image is its path; failures are counted and are no captions."""
    path = write(tmp_path, report("x/b.jpg", "A bear."), FAILURE, report("c.jpg", "A", "length"))
    file = CaptionFile.load(path)
    assert file.captions == (
        Caption("x/b.jpg", "A bear.", True, 1),
        Caption("c.jpg", "A", False, 3),
    )
    assert file.failures == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"image_id": 1, "capt', "line 2 must be JSON"),
        ("[" * 100_000, "line 2 must be JSON"),
        ("[1]", "it has: list"),
        ({}, "it has: nothing"),
        ({"image": 1, "caption": "A"}, "it has: 'image', 'caption'"),
        ({"image_id": None, "caption": "A"}, "as image_id, was: None"),
        ({"image_id": True, "caption": "A"}, "as image_id, was: True"),
        ({"image_id": 1.5, "caption": "A"}, r"as image_id, was: 1\.5"),
        ({"image_id": "", "caption": "A"}, "as image_id, was: ''"),
        ({"image_id": 1, "caption": None}, "as caption, was: None"),
        ({"image_id": 1, "caption": ["A"]}, "as caption, was: "),
        ({**FAILURE, "version": 99}, "this version of sightline knows"),
        ({**FAILURE, "kind": "sonnet"}, "this version of sightline knows"),
        (report(None, "A"), "without an image"),
    ],
)
def test_faulty_lines_are_named(tmp_path: Path, line: object, message: str) -> None:
    """Each fault is an error with its line and the value seen; nothing is passed over."""
    path = write(tmp_path, {"image_id": 2, "caption": "A"}, line)
    with pytest.raises(CaptionError, match=message):
        CaptionFile.load(path)


def test_faulty_files_are_named(tmp_path: Path) -> None:
    """Files without captions, without text or without existence."""
    with pytest.raises(CaptionError, match="holds none\\."):
        CaptionFile.load(write(tmp_path, "", ""))
    with pytest.raises(CaptionError, match="all its 2 lines are failures"):
        CaptionFile.load(write(tmp_path, FAILURE, FAILURE))
    with pytest.raises(CaptionError, match="could not be read"):
        CaptionFile.load(tmp_path / "none.jsonl")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(CaptionError, match="could not be read"):
        CaptionFile.load(tmp_path / "image.png")


def _caption(image: str, line: int) -> Caption:
    return Caption(image, "A.", None, line)


def test_captions_find_their_images() -> None:
    """By id, by file name and by path."""
    found = match([_caption("632", 1), _caption("x/b.jpg", 2), _caption("139", 3)], ANNOTATIONS)
    assert [truth for _, truth in found.captions] == [set(), {"bear"}, {"person", "tv"}]
    assert found.unannotated == ()


def test_an_image_is_captioned_once() -> None:
    """The same image under two names is still the same image."""
    twice = [_caption("285", 1), _caption("139", 2), _caption("x/b.jpg", 5)]
    with pytest.raises(CaptionError, match="image 285 is in lines 1 and 5"):
        match(twice, ANNOTATIONS)


def test_images_without_annotations_are_refused_or_set_apart() -> None:
    """They are never counted as images that hold nothing."""
    captions = [_caption("7", 1), _caption("139", 2), _caption("8", 3)]
    with pytest.raises(CaptionError, match=r"2 of 3 captions \(lines 1, 3\) .* answers to '7'"):
        match(captions, ANNOTATIONS)
    found = match(captions, ANNOTATIONS, skip_unannotated=True)
    assert [caption.image for caption, _ in found.captions] == ["139"]
    assert [caption.image for caption in found.unannotated] == ["7", "8"]
    with pytest.raises(CaptionError, match="No caption is of an annotated image"):
        match(captions[:1], ANNOTATIONS, skip_unannotated=True)
