"""Calibration tables of the same model and question, made one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .folder import part_numbers, read_part, write_new
from .header import Share, TableError, TableHeader, read_header


@dataclass(frozen=True, slots=True)
class Merged:
    """What was merged.

    Attributes:
        images: in all tables together, those that failed included.
        mentions: in all tables together.
        doubts: what may be missing, in words: unfinished tables, absent shares.
    """

    images: int
    mentions: int
    doubts: tuple[str, ...]


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Write one table of several, part by part: whatever their size, one part is in memory.

    Args:
        folders: of the tables.
        out: a new or empty folder.

    Raises:
        TableError: they differ in model, prompt, settings, lexicon or annotations; an image is in
            two of them; shards were dealt differently; one is damaged or of a later version; or
            ``out`` holds anything.
        OSError: ``out`` cannot be written.
    """
    if not folders:
        raise TableError("At least one table is needed, got none.")
    headers = [read_header(folder) for folder in folders]
    first = headers[0]
    for folder, header in zip(folders[1:], headers[1:], strict=True):
        wrong = list(first.info.differences(header.info))
        if first.layers != header.layers:
            wrong.append(f"layers: {first.layers} and {header.layers}")
        if _dealt_otherwise(first.share, header.share):
            wrong.append("how shards were dealt: images, batch size or number of shards")
        if wrong:
            raise TableError(
                f"{folders[0]} and {folder} must be tables of the same collection, differ in "
                f"{'; '.join(wrong)}. Collect one of them again with the settings of the other."
            )
    owner: dict[str, Path] = {}
    counts = [0, 0]

    def parts() -> Iterator[tuple[Any, Any]]:
        for folder, header in zip(folders, headers, strict=True):
            for number in part_numbers(folder):
                captions, mentions = read_part(folder, number, header)
                _claim(owner, captions["image_id"].to_pylist(), folder)
                counts[0] += len(captions)
                counts[1] += len(mentions)
                yield captions, mentions

    # What is wrong with a part is known before anything is written.
    for _ in parts():
        pass
    owner.clear()
    counts[:] = [0, 0]
    doubts = tuple(_doubts(folders, headers))
    images = first.share.images if first.share.of > 1 else sum(h.share.images for h in headers)
    header = replace(first, share=Share(images=images), finished=not doubts)
    write_new(out, header, parts())
    return Merged(images=counts[0], mentions=counts[1], doubts=doubts)


def _dealt_otherwise(one: Share, other: Share) -> bool:
    if one.of == other.of == 1:
        return False
    return (one.of, one.images, one.dealt) != (other.of, other.images, other.dealt)


def _claim(owner: dict[str, Path], image_ids: Sequence[str], folder: Path) -> None:
    twice = [image_id for image_id in image_ids if image_id in owner]
    if twice:
        raise TableError(
            f"Every image may be in one table, {', '.join(twice[:5])} of {folder} are also in "
            f"{owner[twice[0]]}. Leave one of the two out, or collect with --shard."
        )
    owner.update(dict.fromkeys(image_ids, folder))


def _doubts(folders: Sequence[Path], headers: Sequence[TableHeader]) -> Iterator[str]:
    for folder, header in zip(folders, headers, strict=True):
        if not header.finished:
            yield f"{folder} is not finished: some of its images are missing."
    of = headers[0].share.of
    missing = sorted(set(range(1, of + 1)) - {header.share.number for header in headers})
    if missing:
        listed = ", ".join(f"{number}/{of}" for number in missing)
        yield f"Shards that are missing: {listed}."
