"""Parts that share no image, whatever the order of the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sightline.calibration.collecting.table import CalibrationTable
from sightline.calibration.fitting.splits import SHARES, Split, split

from ..tables import made_table


def ids(table: CalibrationTable, made: Split) -> list[set[str]]:
    """The image ids of each part."""
    parts = (made.fit, made.probability, made.threshold)
    return [{table.image_ids[image] for image in part} for part in parts]


def test_every_image_is_in_one_part() -> None:
    """The parts cover all images, those without mentions included, and none twice."""
    table = made_table(400)
    parts = ids(table, split(table))
    assert set().union(*parts) == set(table.image_ids)
    assert sum(map(len, parts)) == 400
    assert [len(part) / 400 for part in parts] == pytest.approx(SHARES, abs=0.01)


def test_hallucinating_images_are_shared_out_alike() -> None:
    """Each part has the table's share of images whose captions hallucinate."""
    table = made_table(400)
    wrong = np.zeros(400, dtype=bool)
    wrong[table.images[table.labels == 1]] = True
    made = split(table)
    for part in (made.fit, made.probability, made.threshold):
        assert wrong[part].mean() == pytest.approx(wrong.mean(), abs=0.02)


def test_the_order_of_the_table_does_not_matter() -> None:
    """The same images in another order fall into the same parts."""
    table = made_table(100)
    turned = table.of_images(np.arange(100)[::-1].copy())
    assert ids(table, split(table)) == ids(turned, split(turned))


def test_the_seed_makes_another_split() -> None:
    """One seed always gives the same split, another one a different one."""
    table = made_table(100)
    assert ids(table, split(table, seed=3)) == ids(table, split(table, seed=3))
    assert ids(table, split(table, seed=3)) != ids(table, split(table, seed=4))


@pytest.mark.parametrize("images", [0, 1, 29])
def test_fewer_than_thirty_images_are_refused(images: int) -> None:
    """The rule, the number seen and the remedy, for an empty table too."""
    table = made_table(60).of_images(np.arange(images))
    with pytest.raises(ValueError, match=rf"at least 30 .* has {images}\. Collect more"):
        split(table)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_refused(label: int) -> None:
    """Without one of the kinds nothing can be learned."""
    table = made_table(60)
    table = replace(table, labels=np.full_like(table.labels, label))
    with pytest.raises(ValueError, match=r"mentions of both kinds; the fit part"):
        split(table)


def test_a_part_without_hallucinations_is_refused() -> None:
    """A single hallucinating image cannot be in every part."""
    table = made_table(60)
    labels = np.zeros_like(table.labels)
    labels[0] = 1
    with pytest.raises(ValueError, match=r"part of \d+ images has 0 hallucinated"):
        split(replace(table, labels=labels))
