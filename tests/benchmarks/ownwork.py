"""How much of a run is spent in sightline's code, of this thread's CPU time.

On a machine that others use, the times of two runs differ by more than watching costs. What a run
spends in sightline's functions and what it spends elsewhere come from the same run, and their ratio
hardly moves. It leaves out what watching does to the rest: memory that it takes, caches that it
empties, and the look at each attention module's config, some microseconds a layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Final
from unittest import mock

from sightline.monitor.attention.deferred import DeferredTap
from sightline.monitor.attention.measurement import Meter
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.session import Monitor
from sightline.monitor.watching.watch import Watch

_ENTRANCES: Final = (
    (Monitor, "watch"),
    (Watch, "__enter__"),
    (Watch, "__exit__"),
    (Watch, "on_scores"),
    (Watch, "on_tokens"),
    (Watch, "on_end"),
    (Meter, "_after_pass"),
    (AttentionTap, "_observe"),
    (AttentionTap, "expect"),
    (DeferredTap, "expect"),
)
"""Where a call of ``generate`` that is watched comes into sightline's code."""


class OwnWork:
    """Seconds of this thread's CPU time within the entrances, so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose time counts; not twice where one entrance calls another."""

        @wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside = True
            start = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.thread_time() - start
                self._inside = False

        return within


@contextmanager
def own_work() -> Iterator[OwnWork]:
    """Time the entrances while the block lasts."""
    work = OwnWork()
    with ExitStack() as stack:
        for kind, name in _ENTRANCES:
            timed = work.timed(getattr(kind, name))
            stack.enter_context(mock.patch.object(kind, name, timed))
        yield work
