"""Captions from JSON lines: this product's own reports, or ``image_id`` and ``caption``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ...monitor.report import Failure, parse_record
from .annotations import AnnotationError, Annotations


class CaptionError(ValueError):
    """Captions that cannot be evaluated; the message names the file, the line and the remedy."""


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption of one image.

    Attributes:
        image: the image's id, or its path in a report.
        text: the caption, maybe empty.
        ended: whether it came to an end by itself; ``None`` where the file does not say.
        line: where it stands in its file, from 1.
    """

    image: str
    text: str
    ended: bool | None
    line: int


@dataclass(frozen=True, slots=True)
class CaptionFile:
    """The captions of a file.

    Attributes:
        path: of the file.
        captions: in the order of the file, at least one.
        failures: how many reports say that there is no caption.
    """

    path: Path
    captions: tuple[Caption, ...]
    failures: int

    @classmethod
    def load(cls, path: str | Path) -> CaptionFile:
        """Read a file; blank lines are passed over.

        Raises:
            CaptionError: the file cannot be read, a line is neither a report nor an object with
                ``image_id`` and ``caption``, or there is no caption.
        """
        path = Path(path)
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise CaptionError(f"Captions could not be read from {path}: {error}") from error
        read = [_parse(line, number, path) for number, line in enumerate(lines, 1) if line.strip()]
        captions = tuple(caption for caption in read if caption is not None)
        if not captions:
            raise CaptionError(
                f"{path} must hold at least one caption, it holds none"
                + (f": all its {len(read)} lines are failures." if read else ".")
            )
        return cls(path, captions, len(read) - len(captions))


@dataclass(frozen=True, slots=True)
class Matched:
    """Captions with the objects of their images.

    Attributes:
        captions: each with the image's canonical object names, in the order of the file.
        unannotated: the captions whose image is not annotated.
    """

    captions: tuple[tuple[Caption, frozenset[str]], ...]
    unannotated: tuple[Caption, ...]


def match(
    captions: Sequence[Caption], annotations: Annotations, *, skip_unannotated: bool = False
) -> Matched:
    """Find the image of each caption.

    Args:
        captions: of one file.
        annotations: what is in the images.
        skip_unannotated: leave captions of other images out instead of refusing them.

    Raises:
        CaptionError: an image is not annotated or is captioned twice, or no caption is left.
    """
    found: list[tuple[Caption, frozenset[str]]] = []
    missing: list[Caption] = []
    reasons: list[AnnotationError] = []
    owner: dict[str, Caption] = {}
    for caption in captions:
        try:
            image_id = annotations.find(caption.image)
        except AnnotationError as error:
            missing.append(caption)
            reasons.append(error)
            continue
        if image_id in owner:
            raise CaptionError(
                f"Every image may be captioned once, image {image_id} is in lines "
                f"{owner[image_id].line} and {caption.line}. Keep one of them."
            )
        owner[image_id] = caption
        found.append((caption, annotations.truth(image_id)))
    if missing and not skip_unannotated:
        raise CaptionError(
            f"{len(missing)} of {len(captions)} captions ({lines_of(missing)}) are of images "
            f"without annotations: {reasons[0]} Or pass over such captions (--skip-unannotated)."
        ) from reasons[0]
    if not found:
        raise CaptionError(f"No caption is of an annotated image: {reasons[0]}") from reasons[0]
    return Matched(tuple(found), tuple(missing))


def lines_of(captions: Iterable[Caption]) -> str:
    """Where the first few captions stand, for messages."""
    numbers = [str(caption.line) for caption in captions]
    return f"line{'s' * (len(numbers) > 1)} {', '.join(numbers[:3])}" + ", ..." * (len(numbers) > 3)


def _parse(line: str, number: int, path: Path) -> Caption | None:
    """The caption of a line; ``None`` for the report of a failure."""
    try:
        data = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CaptionError(
            f"{path}, line {number} must be JSON, it is not: {error}. If the file was cut there, "
            f"remove the line."
        ) from error
    if isinstance(data, dict) and {"kind", "version"} <= data.keys():
        return _report(line, number, path)
    if not isinstance(data, dict) or not {"image_id", "caption"} <= data.keys():
        seen = ", ".join(map(repr, data)) if isinstance(data, dict) else type(data).__name__
        raise CaptionError(
            f"{path}, line {number} must be a report of sightline or have an image_id and a "
            f"caption, it has: {seen[:80] or 'nothing'}."
        )
    image_id, caption = data["image_id"], data["caption"]
    if isinstance(image_id, bool) or not isinstance(image_id, int | str) or image_id == "":
        raise CaptionError(
            f"{path}, line {number} must have a number or a text as image_id, was: {image_id!r}."
        )
    if not isinstance(caption, str):
        raise CaptionError(
            f"{path}, line {number} must have a text as caption, was: {str(caption)[:60]}."
        )
    return Caption(str(image_id), caption, None, number)


def _report(line: str, number: int, path: Path) -> Caption | None:
    try:
        record = parse_record(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        raise CaptionError(
            f"{path}, line {number} must be a report that this version of sightline knows, "
            f"{where}: {first['msg']}. Write it with this version, or give image_id and caption."
        ) from error
    if isinstance(record, Failure):
        return None
    if record.image is None:
        raise CaptionError(
            f"{path}, line {number} is a report without an image. Captions of images that were "
            f"never a file cannot be held against annotations."
        )
    return Caption(record.image.path, record.text, not record.truncated, number)
