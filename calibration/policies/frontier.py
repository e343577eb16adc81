"""What can be had for what: hallucination that is left against objects that are found."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ..reporting.figures.figure import Figure
from ..reporting.figures.style import DPI, INK, LINES, matplotlib_with_style
from ..statistics import Estimate
from .comparison import Comparison, Goal, WayRow
from .ways import Plain, Watched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_MARKERS: Final = "osD^vPXh<>"
_NEAR: Final = 0.06
"""How much recall above and below greedy decoding the enlarged corner shows."""

_CORNERS: Final = tuple(
    (distance * x, distance * y)
    for distance in (1.0, 1.8, 2.6)
    for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1.3), (0, -1.3), (1.3, 0), (-1.3, 0))
)
"""Where a label may stand beside its point, in steps, in the order in which it is tried."""


@dataclass(frozen=True, slots=True)
class Point:
    """One way in the figure.

    Attributes:
        label: what stands beside it.
        recall: share of the images' objects that captions name.
        chair_i: share of mentions that are hallucinated.
    """

    label: str
    recall: Estimate
    chair_i: Estimate


@dataclass(frozen=True, slots=True)
class Family:
    """Ways that differ in one setting, in its order: a curve.

    Attributes:
        name: what the legend calls it.
        points: at least one.
    """

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Frontier(Figure):
    """CHAIR_I against recall: a point with its intervals for each way, a curve for each family.

    Attributes:
        images: how many captions each point is of.
        greedy: the point that all start from.
        families: all other ways.
        goal: the corner that is to be reached.
    """

    name: ClassVar[str] = "policies"
    title: ClassVar[str] = "What a policy leaves, and what it loses"
    size: ClassVar[tuple[float, float]] = (13.0, 8.6)

    images: int
    greedy: Point
    families: tuple[Family, ...]
    goal: Goal

    @classmethod
    def of(cls, comparison: Comparison) -> Frontier:
        """The figure of a comparison.

        Raises:
            ValueError: it has no way but the greedy one.
        """
        greedy = next(row for row in comparison.rows if row.kind == Plain.kind)
        # Watching changes nothing: it would only stand upon the greedy point.
        others = [row for row in comparison.rows if row.kind not in (Plain.kind, Watched.kind)]
        if not others:
            raise ValueError("A frontier needs a way beside greedy decoding, there is none.")
        families: dict[str, list[WayRow]] = {}
        for row in others:
            families.setdefault(row.family, []).append(row)
        return cls(
            comparison.images,
            _point(greedy, "greedy"),
            tuple(
                Family(
                    name,
                    tuple(
                        _point(row, f"{row.place:g}" if len(rows) > 1 else "")
                        for row in sorted(rows, key=lambda one: one.place)
                    ),
                )
                for name, rows in families.items()
            ),
            comparison.goal,
        )

    @property
    def caption(self) -> str:
        return (
            f"Share of mentions that are hallucinated (CHAIR_I) against share of the objects in "
            f"the images that captions name, {self.images:,} images; down and to the right is "
            f"better. Bars are 95% intervals by image. Points of a family are joined in the order "
            f"of what stands beside them: the threshold of a policy, the strength of Eq. 4, the "
            f"number of sentences. Shaded: CHAIR_I cut by {self.goal.chair_cut:.0%} or more and at "
            f"most {100 * self.goal.recall_loss:g} points of recall lost, against greedy decoding."
        )

    @property
    def alt(self) -> str:
        points = "; ".join(
            f"{family.name} {point.label}".strip()
            + f": CHAIR_I {point.chair_i.value:.1%}, recall {point.recall.value:.1%}"
            for family in (Family("greedy", (self.greedy,)), *self.families)
            for point in family.points
        )
        return f"CHAIR_I against recall of each way to caption. {points}."

    def draw(self, canvas: Canvas) -> None:
        """All ways on the left, the corner that matters on the right, one legend below."""
        whole, corner = canvas.subplots(1, 2)
        for axes in (whole, corner):
            self._plot(axes)
        whole.set(title="All ways", ylim=(0, None))
        most, least = self._corner()
        corner.set(title="The corner that matters", xlim=most, ylim=least)
        canvas.legend(
            handles=whole.get_legend_handles_labels()[0], loc="outside lower center", ncols=3
        )
        canvas.draw_without_rendering()  # where points lie in pixels is known only then
        for axes in (whole, corner):
            _write(axes, self._labels, canvas.dpi)

    def _plot(self, axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        self._shade(axes)
        for number, family in enumerate(self.families):
            colour = _colour(number)
            _bars(axes, family.points, colour)
            axes.plot(
                [point.recall.value for point in family.points],
                [point.chair_i.value for point in family.points],
                color=colour,
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=6,
                linestyle="--" if number >= len(LINES) - 1 else "-",  # the colours begin anew
                linewidth=1.3,
                label=family.name,
            )
        _bars(axes, (self.greedy,), INK)
        axes.plot(
            [self.greedy.recall.value],
            [self.greedy.chair_i.value],
            color=INK,
            marker="*",
            markersize=13,
            linestyle="",
            label="greedy",
        )
        axes.set(xlabel="recall", ylabel="CHAIR_I")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:.0%}")
            axis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10]))  # whole percents

    @property
    def _labels(self) -> list[tuple[Point, str]]:
        return [
            (self.greedy, INK),
            *(
                (point, _colour(number))
                for number, family in enumerate(self.families)
                for point in family.points
                if point.label
            ),
        ]

    def _corner(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Recall and CHAIR_I around the goal and greedy decoding."""
        recall, chair_i = self.greedy.recall.value, self.greedy.chair_i.value
        near = [
            point.recall.value
            for family in self.families
            for point in family.points
            if abs(point.recall.value - recall) <= _NEAR
        ]
        low, high = min([recall, *near]), max([recall, *near])
        if not (np.isfinite(low) and np.isfinite(chair_i)):
            return (0.0, 1.0), (0.0, 1.0)
        return (low - 0.005, high + 0.01), (0.0, max(1.08 * chair_i, 0.01))

    def svg(self) -> bytes:
        """The picture as SVG; the same numbers and matplotlib give the same bytes.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        with matplotlib_with_style() as canvas_of:
            import matplotlib as mpl

            canvas = canvas_of(self.size)
            self.draw(canvas)
            written = io.BytesIO()
            with mpl.rc_context({"svg.hashsalt": self.name}):
                canvas.savefig(written, format="svg", dpi=DPI, metadata={"Date": None})
        return written.getvalue()

    def _shade(self, axes: Axes) -> None:
        high = self.greedy.chair_i.value * (1 - self.goal.chair_cut)
        low = self.greedy.recall.value - self.goal.recall_loss
        if np.isfinite(high) and np.isfinite(low):
            most = max((p.recall.high for f in self.families for p in f.points), default=low + 0.05)
            right = max(most, self.greedy.recall.high) + 0.005
            axes.fill_between((low, right), 0, high, color="#009e73", alpha=0.10, linewidth=0)


def _colour(number: int) -> str:
    return LINES[1 + number % (len(LINES) - 1)]


def _point(row: WayRow, label: str) -> Point:
    return Point(label, row.chair.recall, row.chair.chair_i)


def _bars(axes: Axes, points: Sequence[Point], colour: str) -> None:
    for point in points:
        x, y = point.recall, point.chair_i
        axes.plot((x.low, x.high), (y.value, y.value), color=colour, alpha=0.22, linewidth=1)
        axes.plot((x.value, x.value), (y.low, y.high), color=colour, alpha=0.22, linewidth=1)


def _write(axes: Axes, labels: Sequence[tuple[Point, str]], dpi: float) -> None:
    """Put labels beside their points, each where it covers least of what is there already."""
    labels = [
        (point, colour)
        for point, colour in labels
        if axes.get_xlim()[0] <= point.recall.value <= axes.get_xlim()[1]
        and axes.get_ylim()[0] <= point.chair_i.value <= axes.get_ylim()[1]
    ]
    if not labels:
        return
    size = 7.5
    step, high = 5 * dpi / 72, 1.15 * size * dpi / 72
    places = axes.transData.transform([(p.recall.value, p.chair_i.value) for p, _ in labels])
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    for (point, colour), (x, y) in zip(labels, places, strict=True):
        wide = 0.62 * size * dpi / 72 * len(point.label)
        boxes = [
            (
                x + dx * step - wide * (dx < 0) - wide / 2 * (dx == 0),
                y + dy * step - high / 2,
            )
            for dx, dy in _CORNERS
        ]
        cover = [
            sum(_overlap((a, b, a + wide, b + high), other) for other in taken) for a, b in boxes
        ]
        best = int(np.argmin(cover))  # the first of equals: the nearest
        a, b = boxes[best]
        taken.append((a, b, a + wide, b + high))
        axes.annotate(
            point.label,
            (point.recall.value, point.chair_i.value),
            xytext=((a - x) * 72 / dpi, (b - y) * 72 / dpi),
            textcoords="offset points",
            fontsize=size,
            color=colour,
            annotation_clip=True,
        )


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)
