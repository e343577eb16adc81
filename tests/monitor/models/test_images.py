"""Image files of every kind, most of them bad."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sightline.monitor.errors import ImageError
from sightline.monitor.models.images import find_images, open_image


def _picture(width: int = 8, height: int = 6) -> Image.Image:
    rows = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    return Image.fromarray(rows)


def test_a_plain_file_opens_as_it_is(tmp_path: Path) -> None:
    """An RGB PNG comes back pixel for pixel, with its size and format."""
    path = tmp_path / "a.png"
    _picture().save(path)
    opened = open_image(path)
    assert np.array_equal(np.asarray(opened.image), np.asarray(_picture()))
    info = opened.info
    assert (info.width, info.height, info.format, info.mode, info.frames) == (8, 6, "PNG", "RGB", 1)
    assert info.path == str(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """A path that leads nowhere names itself."""
    with pytest.raises(ImageError, match=r"No such image file: .*nowhere\.png"):
        open_image(tmp_path / "nowhere.png")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    """A folder is refused as one."""
    with pytest.raises(ImageError, match="is a folder"):
        open_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"GIF89a"])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty files, text, programs and bare headers are no images."""
    path = tmp_path / "note.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"note\.png"):
        open_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tiff"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    """A file that stops half-way is an error in every format, never a half-grey image."""
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_image(path)


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_001, 10_000, 60_000])
def test_a_huge_image_is_refused_before_it_is_decoded(
    tmp_path: Path, side: int, recwarn: pytest.WarningsRecorder
) -> None:
    """A few bytes that promise gigapixels are refused by the header; the limit and remedy shown."""
    path = tmp_path / "bomb.png"
    path.write_bytes(_png_header(side, side))
    with pytest.raises(ImageError, match=r"at most 64,000,000 pixels.*max_pixels"):
        open_image(path)
    assert not recwarn.list


def test_the_size_limit_can_be_moved(tmp_path: Path) -> None:
    """max_pixels decides, both ways."""
    path = tmp_path / "a.png"
    _picture().save(path)
    with pytest.raises(ImageError, match="at most 47 pixels"):
        open_image(path, max_pixels=47)
    assert open_image(path, max_pixels=48).image.size == (8, 6)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    """A print JPEG is converted, and its mode recorded."""
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(path)
    opened = open_image(path)
    red, green, blue = opened.image.getpixel((4, 4))  # type: ignore[misc]
    assert opened.info.mode == "CMYK"
    assert red > 200
    assert max(green, blue) < 60


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    """The first frame is taken and the number of frames recorded."""
    path = tmp_path / "a.gif"
    frames = [Image.new("RGB", (5, 5), color) for color in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    opened = open_image(path)
    assert opened.info.frames == 3
    assert opened.image.getpixel((2, 2)) == (255, 0, 0)


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    """A portrait photo stored sideways stands upright, and its size is that of what is seen."""
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    _picture(8, 6).save(path, exif=exif)
    opened = open_image(path)
    assert opened.image.size == (6, 8)
    assert (opened.info.width, opened.info.height) == (6, 8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_over_white(tmp_path: Path, mode: str) -> None:
    """Invisible pixels become white, whatever colour hides in them."""
    path = tmp_path / "a.png"
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    flat = clear.convert(mode)
    if mode == "P":
        flat.info["transparency"] = flat.getpixel((0, 0))
    flat.save(path)
    assert open_image(path).image.getpixel((1, 1)) == (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    """16-bit grey is scaled to 8 bits, not clipped."""
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 32896, 65535]], dtype=np.uint16)).save(path)
    image = open_image(path).image
    assert [image.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]


def test_pixels_of_unknown_range_are_refused(tmp_path: Path) -> None:
    """Floating-point and 32-bit integer images have no agreed white."""
    path = tmp_path / "a.tiff"
    Image.fromarray(np.array([[0.5, 7.0]], dtype=np.float32)).save(path)
    with pytest.raises(ImageError, match="unknown range"):
        open_image(path)
    Image.fromarray(np.array([[0, 70_000]], dtype=np.int32)).save(path)
    with pytest.raises(ImageError, match="16-bit"):
        open_image(path)


def test_the_limit_of_pillow_is_left_alone(tmp_path: Path) -> None:
    """Opening changes no global setting."""
    before = Image.MAX_IMAGE_PIXELS
    path = tmp_path / "a.png"
    _picture().save(path)
    open_image(path)
    assert before == Image.MAX_IMAGE_PIXELS


def test_folders_give_their_images_by_name(tmp_path: Path) -> None:
    """A folder stands for the image files in it; files are taken as given, existing or not."""
    for name in ("b.JPG", "a.png", "notes.txt", "c.webp"):
        (tmp_path / name).touch()
    (tmp_path / "sub.png").mkdir()
    found = find_images([tmp_path, tmp_path / "notes.txt", "gone.png"])
    assert [path.name for path in found] == ["a.png", "b.JPG", "c.webp", "notes.txt", "gone.png"]
