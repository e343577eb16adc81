"""Which images are to be captioned: found in a folder, and dealt to those who share the work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...monitor.errors import InputError
from ...monitor.models.images import find_images
from ..objects.annotations import AnnotationError, Annotations
from .folder import by_number
from .header import Share


@dataclass(frozen=True, slots=True)
class Source:
    """An image to caption: its id in the annotations and its file."""

    image_id: str
    path: Path


def find_sources(folder: Path, annotations: Annotations) -> tuple[Source, ...]:
    """The images of a folder, by id: the order in which they are captioned.

    Raises:
        InputError: there is no image, one is not annotated, or two have the same id.
    """
    if not folder.is_dir():
        raise InputError(f"Images must be in a folder, {folder} is none. Check the path.")
    files = find_images([folder])
    if not files:
        raise InputError(f"{folder} holds no image files. Give the folder that holds them.")
    found: dict[str, Path] = {}
    unknown: list[str] = []
    for path in files:
        try:
            image_id = annotations.find(path)
        except AnnotationError:
            unknown.append(path.name)
            continue
        if image_id in found:
            raise InputError(
                f"Every image must have an id of its own, {found[image_id].name} and {path.name} "
                f"both have {image_id!r} in {annotations.source}. Remove one of them."
            )
        found[image_id] = path
    if unknown:
        listed = ", ".join(unknown[:5]) + ", ..." * (len(unknown) > 5)
        raise InputError(
            f"Every image must be annotated, {len(unknown):,} of {len(files):,} in {folder} are "
            f"not in {annotations.source}: {listed}. Move them elsewhere, or give the annotations "
            f"that cover them."
        )
    return tuple(Source(i, found[i]) for i in sorted(found, key=by_number))


def deal(
    sources: Sequence[Source], *, number: int, of: int, batch_size: int
) -> tuple[tuple[Source, ...], Share]:
    """One share of the images, every ``of``-th run of neighbours: shares batch as the whole does.

    Args:
        sources: all images.
        number: which share, from 1.
        of: how many shares there are.
        batch_size: images that are batched together: those captioned at once, or several times as
            many where batches are made of prompts of one length; see :attr:`.Collector.window`.
    """
    ids = json.dumps([batch_size, [source.image_id for source in sources]])
    share = Share(number, of, len(sources), hashlib.sha256(ids.encode()).hexdigest())
    starts = range((number - 1) * batch_size, len(sources), of * batch_size)
    return tuple(source for at in starts for source in sources[at : at + batch_size]), share
