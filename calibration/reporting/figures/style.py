"""How all figures look: colours that the colour-blind tell apart, quiet axes, one font."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ....detectors.extras import remedy
from ....detectors.svar import LayerRange

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

DPI: Final = 150

INK: Final = "#1f2933"
FAINT: Final = "#8a949e"
GRID: Final = "#e4e7eb"

REAL: Final = "#0072b2"
"""Real objects, everywhere: blue (of Okabe and Ito's palette)."""

MADE_UP: Final = "#d55e00"
"""Hallucinated objects, everywhere: vermilion."""

LINES: Final = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""One colour for each of several detectors, in order, of the same palette."""

DASHES: Final = ("-", "-", "-", "--", "--", "-.", "-.")
"""Beside the colours, for who cannot tell them apart or prints in grey."""

SEQUENTIAL: Final = "viridis"
DIVERGING: Final = "RdBu"  # blue where real objects have more, as everywhere

_STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a detector's name may hold dollar signs
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "image.interpolation": "nearest",
}


def require_matplotlib() -> None:
    """Fail now rather than after minutes of fitting.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; the message says how to get it.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Figures need matplotlib, which is not installed: {remedy('calibration')}",
            name=error.name,
        ) from error


@contextmanager
def matplotlib_with_style() -> Iterator[Callable[[tuple[float, float]], Canvas]]:
    """A maker of empty figures of a size in inches; afterwards matplotlib is as it was.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; the message says how to get it.
    """
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    def canvas_of(size: tuple[float, float]) -> Canvas:
        canvas = Canvas(figsize=size, layout="constrained")
        FigureCanvasAgg(canvas)  # draws into memory, whatever the user's backend
        return canvas

    # From matplotlib's own defaults: the user's matplotlibrc has no say in what is published.
    with mpl.rc_context({**mpl.rcParamsDefault, **_STYLE, "backend": mpl.rcParams["backend"]}):
        yield canvas_of


def band(
    axes: Axes,
    x: npt.ArrayLike,
    middle: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    *,
    color: str,
    label: str,
    marker: str = "",
    dashes: str = "-",
) -> None:
    """A line within its interval."""
    axes.fill_between(
        np.asarray(x), np.asarray(low), np.asarray(high), color=color, alpha=0.16, linewidth=0
    )
    axes.plot(x, middle, color=color, label=label, marker=marker, markersize=4, linestyle=dashes)


def hatched(
    axes: Axes,
    counts: npt.ArrayLike,
    edges: npt.ArrayLike,
    *,
    color: str,
    label: str,
    hatch: str = "",
) -> None:
    """A histogram through which another one can be seen."""
    axes.stairs(counts, edges, color=color, alpha=0.18, fill=True)
    if hatch:
        axes.stairs(
            counts,
            edges,
            fill=True,
            facecolor="none",
            edgecolor=color,
            hatch=hatch,
            linewidth=0,
            alpha=0.35,
        )
    axes.stairs(counts, edges, color=color, linewidth=1.5, label=label)


def layers_in_words(layers: LayerRange) -> str:
    """``layer 9`` or ``layers 5-18``."""
    return f"layer {layers.first}" if layers.first == layers.last else f"layers {layers}"
