"""Trying again: what passes by itself is waited for, what is too large is divided."""

from __future__ import annotations

import errno
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_FOR_GOOD: Final = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
        errno.EROFS,
        errno.ENOSPC,
        errno.EFBIG,
        errno.EDQUOT,
    }
)
"""What waiting does not mend. Any other error number may be a disk or a network that hiccups."""

_NO_ROOM: Final = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "HIP out of memory",
    "XPU out of memory",
    "MPS backend out of memory",
    "DefaultCPUAllocator:",
)
"""How backends say it that raise no class of their own."""

_OVER: Final = object()

_GROWS_AFTER: Final = 20
"""So many parts in a row that had room, and larger ones are tried again."""


def passes(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, may be gone when the same is tried again."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno not in _FOR_GOOD
        error = error.__cause__
    return False


def out_of_memory(error: BaseException) -> bool:
    """Whether there was no room for a batch, on the device or beside it."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _NO_ROOM)


def device_lost(error: BaseException) -> bool:
    """Whether the accelerator failed in a way that nothing more in this process can use it."""
    return isinstance(error, torch.AcceleratorError) and not out_of_memory(error)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently something is tried again.

    Attributes:
        times: how often after the first time, from 0.
        pause: seconds before the first retry; twice as long before each later one.
        sleep: waits for so many seconds.
    """

    times: int = 2
    pause: float = 0.5
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        if self.times < 0:
            raise ValueError(f"Retries must be 0 or more, were: {self.times}.")

    def waits(self) -> Iterator[None]:
        """One turn for each retry, after its pause."""
        for number in range(self.times):
            self.sleep(self.pause * 2**number)
            yield

    def call(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns, tried again while it fails with errors that :func:`passes`."""
        waits = self.waits()
        while True:
            try:
                return work()
            except Exception as error:
                if not passes(error):
                    raise
                last = error
            if next(waits, _OVER) is _OVER:
                raise last


class Portions(Generic[Item, Result]):
    """Does batches in as many parts as there is memory for; what fails in company is done alone.

    Args:
        work: the results of some items, one for each.
        fail: the result of an item that fails alone.
        retries: for what passes, and for single items without room.
        on_smaller: told the size of the parts whenever there was no room for more.

    Attributes:
        lost: the error that ended the use of the device; items that were not done by then have
            failed with it, and nothing more can be done in this process.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        fail: Callable[[Item, Exception], Result],
        *,
        retries: Retries,
        on_smaller: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._work = work
        self._fail = fail
        self._retries = retries
        self._on_smaller = on_smaller
        self._most: int | None = None  # where there was no room for more
        self._fitted = 0  # parts in a row since
        self.lost: Exception | None = None

    def results(self, items: Sequence[Item]) -> list[Result]:
        """The results of a batch, in its order, with those of items that fail alone."""
        found: list[Result] = []
        while len(found) < len(items):
            part = items[len(found) : len(found) + (self._most or len(items))]
            found += self._part(part)
            if self._most is not None:
                self._grow(self._most, len(items))
        return found

    def _part(self, part: Sequence[Item], waits: Iterator[None] | None = None) -> list[Result]:
        if self.lost is not None:
            return [self._fail(item, self.lost) for item in part]
        try:
            return list(self._retries.call(lambda: self._work(part)))
        except Exception as error:  # becomes a result; no item may stop the others
            if device_lost(error):
                self.lost = error
                return [self._fail(item, error) for item in part]
            no_room = out_of_memory(error)
            if len(part) == 1 and not no_room:
                return [self._fail(part[0], error)]
            last = error.with_traceback(None)
        # Outside of the handler: what the traceback held on to is free by now.
        if not no_room:
            return [result for item in part for result in self._part([item])]
        _free()
        if len(part) == 1:  # others may use the memory, too, and give it back
            waits = self._retries.waits() if waits is None else waits
            over = next(waits, _OVER) is _OVER
            return [self._fail(part[0], last)] if over else self._part(part, waits)
        self._most, self._fitted = math.ceil(len(part) / 2), 0
        self._on_smaller(self._most)
        found: list[Result] = []
        while len(found) < len(part):  # smaller and smaller, if need be
            found += self._part(part[len(found) : len(found) + self._most])
        return found

    def _grow(self, most: int, whole: int) -> None:
        self._fitted += 1
        if self._fitted >= _GROWS_AFTER:
            self._fitted = 0
            self._most = None if most * 2 >= whole else most * 2


def _free() -> None:
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
