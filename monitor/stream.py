"""Events while they happen: ``generate`` in a thread of its own, its consumer in charge."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

from .errors import WatchError
from .events import Event
from .watch import CancelledError, Watch


@dataclass(frozen=True, slots=True)
class _Done:
    """The end of the thread, and the exception it ended with."""

    error: BaseException | None


class EventStream(Iterator[Event]):
    """Iterates over the events of one call of ``generate``, which runs in a background thread.

    The thread starts with the first ``next``. Whatever is raised in it is raised here, by the
    ``next`` that would have brought the following event. Closing the stream (``close``, leaving
    its ``with`` block, or dropping it) stops the generation at its next step, and returns when the
    model is as it was found.

    Args:
        watch: makes the watch, given where to send the events; called in the thread.
        generate: calls ``generate`` inside the open watch.
    """

    def __init__(
        self,
        watch: Callable[[Callable[[Event], None]], Watch],
        generate: Callable[[Watch], object],
    ) -> None:
        self._make_watch = watch
        self._generate = generate
        self._events: queue.SimpleQueue[Event | _Done] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._thread: threading.Thread | None = None
        self._over = False

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        if self._over:
            raise StopIteration
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sightline", daemon=True)
            self._thread.start()
        item = self._events.get()
        if not isinstance(item, _Done):
            return item
        self._over = True
        self._thread.join()
        if item.error is not None:
            raise item.error
        raise StopIteration

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Dropped without being closed: let the thread end by itself, nobody waits for it.
        if not getattr(self, "_over", True):
            self._cancel()

    def close(self) -> None:
        """Stop generating, wait until the model is as it was found, and end the iteration."""
        self._over = True
        self._cancel()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def watch(self) -> Watch:
        """The watch behind the stream: its reports and texts.

        Raises:
            WatchError: nothing was read from the stream yet.
        """
        if self._watch is None:
            raise WatchError("The stream has not begun: read an event from it first.")
        return self._watch

    def _cancel(self) -> None:
        self._closing.set()
        with self._lock:
            if self._watch is not None:
                self._watch.cancel()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            with self._lock:
                self._watch = self._make_watch(self._events.put)
                if self._closing.is_set():
                    self._watch.cancel()
            with self._watch as watch:
                self._generate(watch)
        except CancelledError:
            pass  # the consumer's own wish
        except BaseException as raised:
            error = raised
        self._events.put(_Done(error))
