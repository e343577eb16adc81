"""Scenes and their pictures: reproducible, and true to their annotations."""

from __future__ import annotations

import numpy as np
import pytest
from sightline.calibration.scenes.catalogue import COLOURS, SCENES, TYPES
from sightline.calibration.scenes.render import MIN_PIXELS, MIN_VISIBLE, SIDE, Picture, render
from sightline.calibration.scenes.shapes import SHAPES
from sightline.calibration.scenes.world import MAX_TYPES, Placed, Scene, sample_scene


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """Two hundred development scenes."""
    return [render(sample_scene(20_000_000 + i)) for i in range(200)]


def test_catalogue_is_whole() -> None:
    """Every type can be drawn in known paints and colours, and every scene names known types."""
    paints = {*COLOURS, "main", "dark", "light"}
    assert set(SHAPES) == set(TYPES)
    assert 38 <= len(TYPES) <= 45
    assert len(SCENES) >= 6
    for kind in TYPES.values():
        assert set(kind.colours) <= set(COLOURS)
        assert {shape.paint for shape in SHAPES[kind.name]} <= paints
    for scene in SCENES.values():
        assert set(scene.typical) <= set(TYPES)
        assert {name for theme in scene.themes for name in theme} <= set(scene.typical)
    assert sum(" " in name for name in TYPES) >= 5


def test_same_seed_same_pixels() -> None:
    """A scene is a pure function of its seed."""
    a, b = render(sample_scene(7)), render(sample_scene(7))
    assert a.scene == b.scene
    assert np.array_equal(np.asarray(a.image), np.asarray(b.image))
    assert not np.array_equal(np.asarray(a.image), np.asarray(render(sample_scene(8)).image))


def test_boxes_hold_the_visible_pixels(pictures: list[Picture]) -> None:
    """Each box is the tight frame of the pixels that its object owns."""
    for picture in pictures[:50]:
        for index, seen in enumerate(picture.seen, start=1):
            rows, columns = np.nonzero(picture.owner == index)
            assert seen.pixels == len(rows)
            if len(rows):
                left, top, right, bottom = seen.box
                assert (left, top) == (columns.min(), rows.min())
                assert (right, bottom) == (columns.max() + 1, rows.max() + 1)
                assert 0 <= left < right <= SIDE
                assert 0 <= top < bottom <= SIDE


def _placed(name: str, box: tuple[float, float, float, float]) -> Placed:
    return Placed(name, "red", (206, 44, 40), box, flipped=False, contrast=1.0)


def test_hidden_objects_are_not_annotated() -> None:
    """An object behind a larger one keeps its visible fraction and loses its annotation."""
    ball = _placed("beach ball", (0.4, 0.4, 0.5, 0.5))
    wall = _placed("refrigerator", (0.3, 0.2, 0.7, 0.9))
    front = render(Scene(0, "beach", 0.5, 0.0, (wall, ball)))
    behind = render(Scene(0, "beach", 0.5, 0.0, (ball, wall)))
    assert front.seen[1].fraction == pytest.approx(1.0, abs=0.01)
    assert behind.seen[0].pixels == 0
    assert [s.object.type for s in behind.annotated] == ["refrigerator"]


def test_objects_cut_by_the_edge_count_what_is_inside() -> None:
    """Half an object outside the picture halves its visible fraction."""
    picture = render(Scene(0, "beach", 0.5, 0.0, (_placed("refrigerator", (-0.2, 0.3, 0.2, 0.8)),)))
    assert picture.seen[0].fraction == pytest.approx(0.5, abs=0.02)


def test_world_is_varied(pictures: list[Picture]) -> None:
    """Counts, off-prior, small, faint and hidden objects all occur, in measure."""
    objects = [seen for picture in pictures for seen in picture.seen]
    types = [len({s.object.type for s in p.seen}) for p in pictures]
    assert min(types) == 2
    assert max(types) == MAX_TYPES
    typical = np.mean(
        [s.object.type in SCENES[p.scene.kind].typical for p in pictures for s in p.seen]
    )
    assert 0.85 < typical < 0.97
    assert 0.04 < np.mean([s.object.contrast < 1 for s in objects]) < 0.14
    assert 0.003 < np.mean([not s.annotated for s in objects]) < 0.2
    assert {p.scene.kind for p in pictures} == set(SCENES)
    for seen in objects:
        assert seen.annotated == (seen.fraction >= MIN_VISIBLE and seen.pixels >= MIN_PIXELS)


def test_faint_objects_show_the_background() -> None:
    """A faint object differs less from its background than a solid one."""
    box = (0.3, 0.3, 0.7, 0.7)
    solid = _placed("bus", box)
    faint = Placed("bus", "red", (206, 44, 40), box, flipped=False, contrast=0.4)
    empty, a, b = (
        np.asarray(render(Scene(0, "park", 0.5, 0.0, objects)).image, float)
        for objects in ((), (solid,), (faint,))
    )
    assert np.abs(b - empty).sum() == pytest.approx(0.4 * np.abs(a - empty).sum(), rel=0.03)


def test_noise_is_as_strong_as_the_scene_says() -> None:
    """The grain has the scene's standard deviation."""
    calm, loud = (
        np.asarray(render(Scene(3, "office", 0.5, noise, ())).image, float) for noise in (0.0, 8.0)
    )
    assert (loud - calm).std() == pytest.approx(8.0, rel=0.05)
