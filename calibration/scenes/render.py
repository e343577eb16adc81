"""From a scene to pixels, and to what of each object can be seen in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from .catalogue import COLOURS, SCENES, Colour
from .shapes import SHAPES, Shape
from .world import Placed, Scene

SIDE = 192
"""Side of a rendered picture in pixels. The model sees it at half that."""

MIN_VISIBLE = 0.25
"""An object of which less than this share is left uncovered is not annotated."""

MIN_PIXELS = 40
"""Nor is one that shows fewer pixels than this of ``SIDE`` x ``SIDE``."""

_BACKDROPS: dict[str, tuple[Colour, Colour]] = {
    "kitchen": (((222, 214, 190)), (176, 150, 122)),
    "living room": ((196, 172, 150), (138, 100, 74)),
    "bedroom": ((176, 186, 206), (150, 132, 128)),
    "office": ((206, 212, 210), (112, 120, 132)),
    "street": ((168, 196, 222), (96, 96, 102)),
    "park": ((158, 206, 240), (112, 168, 86)),
    "beach": ((136, 200, 238), (228, 206, 150)),
    "farm": ((186, 214, 236), (166, 170, 84)),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as it can be seen in the picture.

    Attributes:
        object: what was placed.
        box: left, top, right, bottom of its visible pixels, in pixels, half-open.
        pixels: how many of its pixels can be seen.
        fraction: share of the object's pixels that is inside the picture and not covered.
    """

    object: Placed
    box: tuple[int, int, int, int]
    pixels: int
    fraction: float

    @property
    def annotated(self) -> bool:
        """Whether an annotator would see it: the ground truth of labels and captions."""
        return self.fraction >= MIN_VISIBLE and self.pixels >= MIN_PIXELS


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A rendered scene.

    Attributes:
        scene: what was drawn.
        image: RGB, ``SIDE`` x ``SIDE``.
        seen: one per object of the scene, in its order.
        owner: uint8 ``[SIDE, SIDE]``; 0 for background, else 1 + index of the object that shows.
    """

    scene: Scene
    image: Image.Image
    seen: tuple[Seen, ...]
    owner: npt.NDArray[np.uint8]

    @property
    def annotated(self) -> tuple[Seen, ...]:
        """The objects that can be seen well enough to count."""
        return tuple(s for s in self.seen if s.annotated)


def render(scene: Scene) -> Picture:
    """Draw a scene. The same scene gives the same pixels."""
    rng = np.random.default_rng([scene.seed, 1])
    image = _backdrop(scene, rng)
    owner = Image.new("L", (SIDE, SIDE), 0)
    sizes: list[int] = []
    for index, placed in enumerate(scene.objects, start=1):
        alone = Image.new("L", (2 * SIDE, 2 * SIDE), 0)
        _draw(ImageDraw.Draw(alone), placed, index, offset=SIDE // 2)
        sizes.append(alone.histogram()[index])
        _draw(ImageDraw.Draw(owner), placed, index)
        if placed.contrast < 1.0:
            solid = image.copy()
            _draw(ImageDraw.Draw(solid), placed)
            image = Image.blend(image, solid, placed.contrast)
        else:
            _draw(ImageDraw.Draw(image), placed)
    owners = np.asarray(owner)
    seen = tuple(_see(p, owners == i, sizes[i - 1]) for i, p in enumerate(scene.objects, start=1))
    return Picture(scene, _noisy(image, scene.noise, rng), seen, owners)


def _see(placed: Placed, mask: npt.NDArray[np.bool_], size: int) -> Seen:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return Seen(placed, (0, 0, 0, 0), 0, 0.0)
    pixels = int(mask.sum())
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Seen(placed, box, pixels, min(1.0, pixels / size))


def _backdrop(scene: Scene, rng: np.random.Generator) -> Image.Image:
    far, near = (
        np.clip(np.array(c) + rng.integers(-14, 15, size=3), 0, 255) for c in _BACKDROPS[scene.kind]
    )
    line = int(scene.horizon * SIDE)
    shade = np.linspace(-10, 10, SIDE)[:, None, None]
    pixels = np.where(np.arange(SIDE)[:, None, None] < line, far, near) + shade
    image = Image.fromarray(
        np.broadcast_to(np.clip(pixels, 0, 255), (SIDE, SIDE, 3)).astype(np.uint8)
    )
    draw = ImageDraw.Draw(image)
    if SCENES[scene.kind].indoors:
        draw.rectangle((0, line - 3, SIDE, line), fill=_shaded(tuple(near), 0.8))
        step = {"kitchen": 24, "office": 48}.get(scene.kind, 0)
        for at in range(int(rng.integers(8, 24)), SIDE, step or SIDE):
            if step:
                draw.line((at, 0, at, line - 3), fill=_shaded(tuple(far), 0.94))
        if scene.kind == "bedroom":
            left = int(rng.integers(10, SIDE - 60))
            draw.rectangle((left, 12, left + 44, line - 30), fill=(214, 230, 240))
    else:
        for _ in range(int(rng.integers(1, 4))):
            left, top = int(rng.integers(-20, SIDE)), int(rng.integers(2, line // 2))
            draw.ellipse((left, top, left + 50, top + 14), fill=(238, 242, 246))
        if scene.kind == "beach":
            draw.rectangle((0, line, SIDE, line + 16), fill=(64, 136, 190))
        if scene.kind == "street":
            for at in range(int(rng.integers(0, 30)), SIDE, 44):
                draw.rectangle(
                    (at, int(SIDE * 0.78), at + 22, int(SIDE * 0.8)), fill=(214, 210, 180)
                )
    return image


def _noisy(image: Image.Image, sigma: float, rng: np.random.Generator) -> Image.Image:
    """Sensor noise with a grain of 2 x 2 pixels, so that halving the picture keeps it."""
    grain = rng.standard_normal((SIDE // 2, SIDE // 2, 3), dtype=np.float32) * sigma
    pixels = np.asarray(image, dtype=np.float32) + grain.repeat(2, 0).repeat(2, 1)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _shaded(colour: tuple[int, ...], factor: float) -> Colour:
    red, green, blue = (int(min(255, max(0, c * factor))) for c in colour)
    return red, green, blue


def _draw(draw: ImageDraw.ImageDraw, placed: Placed, index: int = 0, *, offset: int = 0) -> None:
    """Draw one object in its colours or, with an index, its silhouette."""
    for shape in SHAPES[placed.type]:
        _fill(
            draw,
            shape,
            _corners(shape, placed, offset),
            index or _paint(shape.paint, placed),
            placed,
        )


def _paint(paint: str, placed: Placed) -> Colour:
    match paint:
        case "main":
            return placed.paint
        case "dark":
            return _shaded(placed.paint, 0.68)
        case "light":
            red, green, blue = placed.paint
            return (red + 255) // 2, (green + 255) // 2, (blue + 255) // 2
    return COLOURS[paint]


def _corners(shape: Shape, placed: Placed, offset: int) -> list[tuple[float, float]]:
    left, top, right, bottom = placed.box
    xs, ys = shape.at[::2], shape.at[1::2]
    if placed.flipped:
        xs = tuple(1 - x for x in xs)
    return [
        ((left + x * (right - left)) * SIDE + offset, (top + y * (bottom - top)) * SIDE + offset)
        for x, y in zip(xs, ys, strict=True)
    ]


def _fill(
    draw: ImageDraw.ImageDraw,
    shape: Shape,
    corners: list[tuple[float, float]],
    fill: int | Colour,
    placed: Placed,
) -> None:
    if shape.kind == "polygon":
        draw.polygon(corners, fill=fill)
    elif shape.kind == "line":
        height = (placed.box[3] - placed.box[1]) * SIDE
        draw.line(corners, fill=fill, width=max(1, round(shape.width * height)))
    else:
        xs, ys = zip(*corners, strict=True)
        around = (min(xs), min(ys), max(xs), max(ys))
        (draw.ellipse if shape.kind == "oval" else draw.rectangle)(around, fill=fill)
