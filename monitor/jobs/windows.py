"""Which images of a long job are captioned together: those whose prompts are equally long.

A batch is padded to its longest prompt, and prompts differ in length where the model spends more
tokens on larger pictures. So a few batches' worth of images, a window, are looked at together and
divided by length. What goes together depends on an image's place in the job alone and not on what
is done of it: a caption's last digits depend on its batch, and a job that was interrupted must come
out as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

AHEAD: Final = 8
"""So many batches are divided by length together. What is finished waits for no more than these."""


@dataclass(frozen=True, slots=True)
class Window(Generic[Item]):
    """Neighbours in a job.

    Attributes:
        items: all of them, in the job's order.
        done: of each, whether its record is there already.
        batches: places in ``items`` that are captioned together, each in the job's order; those
            whose records are all there are left out.
    """

    items: tuple[Item, ...]
    done: tuple[bool, ...]
    batches: tuple[tuple[int, ...], ...]


def windows(
    items: Sequence[Item],
    done: Sequence[int],
    size: int,
    *,
    length: Callable[[Item], int] | None = None,
    ahead: int = AHEAD,
) -> Iterator[Window[Item]]:
    """The windows of a job with something left to do, each made when it is asked for.

    Args:
        items: all images of the job.
        done: of each, whether its record is there.
        size: images in a batch.
        length: tokens of an image's prompt; ``None`` where all are alike: neighbours go together.
        ahead: batches in a window.
    """
    wide = size if length is None else size * ahead
    for start in range(0, len(items), wide):
        flags = tuple(map(bool, done[start : start + wide]))
        if all(flags):
            continue
        some = tuple(items[start : start + wide])
        order = list(range(len(some)))
        if length is not None:
            lengths = [length(item) for item in some]
            order.sort(key=lambda place: lengths[place])  # stable: equals stay in order
        parts = [tuple(sorted(order[at : at + size])) for at in range(0, len(some), size)]
        left = sorted(part for part in parts if not all(flags[place] for place in part))
        yield Window(some, flags, tuple(left))
