"""Small copies of images, written out so that a page can hold them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Final

from PIL import Image

from ..errors import ImageError
from ..models.images import open_image

SIDE: Final = 320
"""Pixels of a thumbnail's longer side."""

LARGE: Final = 640
"""Where there are few: maps are laid over it, and it can be looked at large."""

FEW: Final = 200
"""Up to how many captions."""

SMALL: Final = 160
"""Where there are many."""

MANY: Final = 1000
"""From how many captions on."""


def side_of(count: int) -> int:
    """Pixels of the thumbnails' longer side on a page of so many captions."""
    return LARGE if count <= FEW else SMALL if count >= MANY else SIDE


def thumbnail(path: Path, *, side: int = SIDE) -> str | None:
    """An image as a ``data:`` address of a WebP, at most ``side`` pixels wide and high.

    Returns:
        The address; ``None`` where the file is gone or cannot be read: a report outlives its image.
    """
    try:
        image = open_image(path).image
    except ImageError:
        return None
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    packed = io.BytesIO()
    image.save(packed, "WEBP", quality=80, method=2)
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode("ascii")
