"""Captions as a COCO results file: for the official evaluation scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Final

from ..errors import InputError
from ..report import Failure, Report

_NUMBER: Final = re.compile(r"(\d+)$")


def coco(records: Iterable[Report | Failure]) -> Iterator[str]:
    """The pieces of a JSON list of ``{"image_id", "caption"}``, failed images left out.

    The id is the number that the image's file name ends in: 391895 for
    ``COCO_val2014_000000391895.jpg``.

    Raises:
        InputError: a file name ends in no number, or two captions are of one image.
    """
    seen: dict[int, str] = {}
    for record in records:
        if isinstance(record, Failure):
            continue
        path = "" if record.image is None else record.image.path
        found = _NUMBER.search(PurePath(path).stem)
        if found is None:
            raise InputError(
                f"COCO results name images by number: a file name must end in one, was: {path!r}. "
                f"Rename the images, or export another format."
            )
        number = int(found[1])
        if number in seen:
            raise InputError(
                f"COCO results have one caption for each image; {seen[number]!r} and {path!r} are "
                f"both number {number}. Leave one of them out."
            )
        seen[number] = path
        start = "[" if len(seen) == 1 else ",\n "
        yield start + json.dumps({"image_id": number, "caption": record.text}, ensure_ascii=False)
    yield "]\n" if seen else "[]\n"
