"""How much memory this process holds: what the system counts, what is in use, and how it grows."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import theilslopes

_STATM = Path("/proc/self/statm")


class _MallInfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


def _libc() -> Any:
    """The C library, where it is glibc and tells what is in use; ``None`` elsewhere."""
    try:
        library: Any = ctypes.CDLL("libc.so.6")
        library.mallinfo2.restype = _MallInfo
    except (OSError, AttributeError):
        return None
    return library


_LIBC = _libc()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the process holds after so many captions.

    Attributes:
        captions: written so far.
        resident: KiB of its pages that are in memory; ``None`` where the system does not tell.
        in_use: KiB that were asked of ``malloc`` and not given back, tensors for one; ``None``
            without glibc. What is resident beyond it is room that the allocator keeps.
    """

    captions: int
    resident: float | None
    in_use: float | None

    @classmethod
    def now(cls, captions: int, *, trim: bool = False) -> Reading:
        """What is held now.

        Args:
            captions: written so far.
            trim: first collect garbage, and let the allocator give back the room that it keeps.
        """
        if trim:
            gc.collect()
            if _LIBC is not None:
                _LIBC.malloc_trim(0)
        resident = in_use = None
        if _STATM.exists():
            pages = int(_STATM.read_text(encoding="ascii").split()[1])
            resident = pages * os.sysconf("SC_PAGE_SIZE") / 1024
        if _LIBC is not None:
            info = _LIBC.mallinfo2()
            in_use = (info.uordblks + info.hblkhd) / 1024
        return cls(captions, resident, in_use)


def slopes(readings: Sequence[Reading]) -> dict[str, dict[str, float]]:
    """KiB a caption by Theil and Sen, with their 95% intervals, of whatever was read.

    The first fifth, in which caches fill, does not count.
    """
    late = readings[len(readings) // 5 :]
    found: dict[str, dict[str, float]] = {}
    for name in ("resident", "in_use"):
        values = [getattr(one, name) for one in late]
        if len(values) < 3 or None in values:
            continue
        slope: Any = theilslopes(values, [one.captions for one in late])
        found[name] = {
            "slope": round(float(slope.slope), 3),
            "low": round(float(slope.low_slope), 3),
            "high": round(float(slope.high_slope), 3),
        }
    return found


def span(readings: Sequence[Reading]) -> dict[str, float]:
    """MiB resident after the first fifth, at the end and at most; nothing where unknown."""
    known = [one.resident / 1024 for one in readings if one.resident is not None]
    if not known:
        return {}
    return {
        "first_fifth": round(known[len(known) // 5], 1),
        "end": round(known[-1], 1),
        "most": round(max(known), 1),
    }
