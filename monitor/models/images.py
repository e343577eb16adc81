"""Opening image files from anywhere without being hurt by them."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..errors import ImageError
from .files import FileList

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is opened. Formats that run a program to be read (EPS) or are rarely meant are not."""

SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)
"""The file names that count as images when a folder is given."""

MAX_PIXELS: Final = 64_000_000
"""Most pixels decoded by default: 8,000 x 8,000, about 190 MB once decoded to RGB."""

_BROKEN: Final = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, TypeError)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is known of an opened image file.

    Attributes:
        path: as the caller gave it.
        width: pixels, upright (after the EXIF orientation was applied).
        height: pixels, upright.
        format: file format as Pillow names it, such as ``"JPEG"``.
        mode: colour mode of the file before conversion to RGB, such as ``"CMYK"``.
        frames: frames or pages in the file; only the first is looked at.
    """

    path: str
    width: int
    height: int
    format: str
    mode: str
    frames: int


@dataclass(frozen=True, slots=True, eq=False)
class OpenedImage:
    """An upright RGB image and what its file was."""

    image: Image.Image
    info: ImageInfo


def open_image(
    path: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> OpenedImage:
    """Decode an image file into an upright RGB image.

    The size is checked before any pixel is decoded. The EXIF orientation is applied, transparency
    is laid over white, 16-bit grey is scaled to 8 bits, CMYK and palettes are converted, and of an
    animation the first frame is taken.

    Args:
        path: the file, or what is in it.
        max_pixels: the largest image that is decoded.
        name: what errors and reports call it; by default the path.

    Raises:
        ImageError: the file is missing, unreadable, not one of :data:`FORMATS`, truncated, or has
            more than ``max_pixels`` pixels.
    """
    name = name or (str(path) if isinstance(path, (str, Path)) else "image")
    source = _source(path, name, max_pixels)
    with source:
        width, height = source.size
        if width * height > max_pixels:
            raise _too_large(name, f"{width} x {height}", max_pixels)
        try:
            info_frames = int(getattr(source, "n_frames", 1))
            source.seek(0)
            source.load()
            upright = ImageOps.exif_transpose(source)
            rgb = _to_rgb(upright, name)
        except ImageError:
            raise
        except _BROKEN as error:
            raise _broken(name, error) from error
        info = ImageInfo(
            path=name,
            width=rgb.width,
            height=rgb.height,
            format=source.format or "",
            mode=source.mode,
            frames=info_frames,
        )
    return OpenedImage(image=rgb, info=info)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image file, pixels, upright, without decoding it.

    Raises:
        ImageError: the file is missing, unreadable or not one of :data:`FORMATS`.
    """
    with _source(path, str(path), MAX_PIXELS) as source:
        width, height = source.size
        try:
            # What a PNG says of it after its pixels is not worth reading them all.
            told = source.format != "PNG" or "exif" in source.info
            turned = told and source.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        except _BROKEN as error:
            raise _broken(str(path), error) from error
    return (height, width) if turned else (width, height)


def find_images(paths: Iterable[str | Path]) -> FileList:
    """Files as given, and for a folder the image files directly in it, by name.

    Nothing is opened; a path that does not exist is passed on, to fail by itself later.
    """
    return FileList.find(paths, SUFFIXES)


def _source(path: str | Path | bytes, name: str, max_pixels: int) -> Image.Image:
    """An image file, opened and not decoded."""
    source_of: str | Path | io.BytesIO = path if isinstance(path, (str, Path)) else io.BytesIO(path)
    try:
        with warnings.catch_warnings():
            # Pillow's own warning comes at another size than our limit, which is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(source_of, formats=FORMATS)
    except FileNotFoundError as error:
        raise ImageError(f"No such image file: {name}. Check the path.") from error
    except IsADirectoryError as error:
        raise ImageError(f"An image must be a file; {name} is a folder.") from error
    except PermissionError as error:
        raise ImageError(f"The image {name} may not be read. Check its permissions.") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error), max_pixels) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image that can be read ({', '.join(FORMATS)}). "
            "Convert it to PNG or JPEG."
        ) from error
    except _BROKEN as error:
        raise _broken(name, error) from error


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "RGB":
        return image.copy()
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.size and (grey.min() < 0 or grey.max() > 65535):
            raise ImageError(
                f"Integer images must hold 16-bit values; {name} ranges from {grey.min()} to "
                f"{grey.max()}. Convert it to 8 bits."
            )
        return Image.fromarray((grey // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError(f"{name} holds floating-point pixels, of unknown range. Convert it first.")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _broken(name: str, error: Exception) -> ImageError:
    return ImageError(f"The image {name} is truncated or damaged: {error}. Fetch it again.")


def _too_large(name: str, size: str, max_pixels: int) -> ImageError:
    return ImageError(
        f"An image may have at most {max_pixels:,} pixels; {name} has {size}. "
        "Scale it down, or raise max_pixels (--max-pixels) if you trust the file."
    )
