"""The hash of a table that is read a few parts at a time is that of the table in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sightline.calibration.collecting.captions import each_caption, read_captions
from sightline.calibration.collecting.collected import CollectedCaption, CollectedMention
from sightline.calibration.collecting.content import data_hash
from sightline.calibration.collecting.folder import TableFolder
from sightline.calibration.collecting.header import TableError, TableHeader, TableInfo
from sightline.calibration.collecting.table import CalibrationTable
from sightline.detectors.evidence import SEGMENTS, Evidence
from sightline.detectors.mentions import MentionEvidence

LAYERS, HEADS = (1, 4), 3
INFO = TableInfo(
    model="tiny",
    revision="",
    architecture="TinyLlava",
    num_layers=6,
    num_heads=HEADS,
    prompt="What is there?",
    settings={"do_sample": False},
    lexicon="coco",
    annotations="0" * 64,
    lens=False,
)


def caption(image: int, labels: Sequence[int | None]) -> CollectedCaption:
    """A caption with so many mentions, the last of them cut before its naming row."""
    rng = np.random.default_rng(image)
    shape = (len(LAYERS), HEADS, len(SEGMENTS))

    def evidence() -> Evidence:
        return Evidence(
            layers=LAYERS,
            masses=rng.random(shape, np.float32),
            log_prob=-1.5,
            entropy=float(rng.random()),
            margin=0.25,
        )

    mentions = tuple(
        CollectedMention(
            text="x",
            start=2 * place,
            end=2 * place + 1,
            label=label,
            evidence=MentionEvidence(
                object=f"thing {place}",
                index=place,
                word=place,
                repeats=0,
                predicting=evidence(),
                naming=None if place == len(labels) - 1 else evidence(),
            ),
        )
        for place, label in enumerate(labels)
    )
    return CollectedCaption(str(image), f"{image}.png", ("thing 0",), "x " * 3, mentions, 9, "eos")


def write(folder: Path, *parts: list[CollectedCaption]) -> Path:
    """A table of these parts."""
    with TableFolder(folder, TableHeader(INFO, LAYERS)) as table:
        for part in parts:
            table.write(part)
        table.finish()
    return folder


CAPTIONS = [caption(image, [0, 1, None, 1][: image % 5]) for image in (3, 11, 2, 40, 7, 5)]
FAILED = CollectedCaption("9", "9.png", ("thing 1",), error="ImageError: broken")


@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_however_it_is_divided_the_hash_is_that_of_the_table(tmp_path: Path, size: int) -> None:
    """Parts of any size, images in any order, failures and unlabelled mentions among them."""
    rows = [*CAPTIONS[:3], FAILED, *CAPTIONS[3:]]
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    folder = write(tmp_path / "t", *parts)
    assert data_hash(folder) == CalibrationTable.load(folder).data_hash
    assert sorted(one.image_id for one in each_caption(folder)) == sorted(
        one.image_id for one in read_captions(folder)
    )


def test_tables_without_mentions_have_a_hash(tmp_path: Path) -> None:
    """Of nothing at all, and of captions that name nothing."""
    for name, parts in (("a", []), ("b", [[caption(0, [])]]), ("c", [[FAILED]])):
        folder = write(tmp_path / name, *parts)
        assert data_hash(folder) == CalibrationTable.load(folder).data_hash


def test_what_a_table_refuses_its_hash_refuses(tmp_path: Path) -> None:
    """An image twice, and mentions of an image that has no caption."""
    twice = write(tmp_path / "twice", [CAPTIONS[0]], [CAPTIONS[0]])
    with pytest.raises(TableError, match="there once"):
        data_hash(twice)
    stray = write(tmp_path / "stray", [replace(CAPTIONS[0], error="broken")])
    with pytest.raises(TableError, match="captioned image"):
        data_hash(stray)
