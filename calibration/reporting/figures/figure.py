"""What every figure is: numbers with a title, a caption, words for who cannot see it, a picture."""

from __future__ import annotations

import dataclasses
import io
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .style import DPI, matplotlib_with_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class Figure(ABC):
    """A figure of a report. What inherits from it is a frozen dataclass of the numbers shown.

    Attributes:
        name: what its files are called, without suffix.
        title: its heading.
        size: width and height, in inches.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    size: ClassVar[tuple[float, float]]

    @property
    @abstractmethod
    def caption(self) -> str:
        """What to see in it, in a sentence or two."""

    @property
    @abstractmethod
    def alt(self) -> str:
        """What it shows, for who cannot see it."""

    @abstractmethod
    def draw(self, canvas: Canvas) -> None:
        """Draw it; the house's style is in force."""

    def png(self) -> bytes:
        """The picture. The same numbers and the same matplotlib give the same bytes.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        with matplotlib_with_style() as canvas_of:
            canvas = canvas_of(self.size)
            self.draw(canvas)
            written = io.BytesIO()
            # Left to itself, matplotlib signs with its version.
            canvas.savefig(written, format="png", dpi=DPI, metadata={"Software": None})
        return written.getvalue()


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that cannot be drawn, and why.

    Attributes:
        name: as of the figure.
        title: as of the figure.
        reason: what is missing, and how to have it.
    """

    name: str
    title: str
    reason: str

    @classmethod
    def instead_of(cls, figure: type[Figure], reason: str) -> Missing:
        """Stands where that figure would."""
        return cls(figure.name, figure.title, reason)


def plain(value: Any) -> Any:
    """Frozen dataclasses, arrays and tuples as JSON has them; what is not finite becomes null."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    return value
