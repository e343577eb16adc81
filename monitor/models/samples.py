"""The sample images that travel with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def sample_images() -> tuple[Path, ...]:
    """Paths of the sample images, by name.

    Raises:
        FileNotFoundError: the package was installed without its data.
    """
    folder = Path(str(files("sightline.monitor"))) / "data" / "samples"
    found = tuple(sorted(folder.glob("*.png")))
    if not found:
        raise FileNotFoundError(
            f"There must be sample images in {folder}, there are none. Reinstall sightline."
        )
    return found
