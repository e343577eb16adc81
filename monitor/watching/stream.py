"""Events while they happen: ``generate`` in a thread of its own, its consumer in charge."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from ..errors import CancelledError, WatchError
from ..events import Event
from ..report import Report


class Watched(Protocol):
    """What a stream has to know of a watched generation: to be opened around it, in its thread."""

    @property
    def reports(self) -> tuple[Report, ...]:
        """One report per caption."""
        ...

    @property
    def texts(self) -> tuple[str, ...]:
        """The captions so far."""
        ...

    def cancel(self) -> None:
        """Make the generation stop at its next step; from any thread."""
        ...

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Done:
    """The end of the thread, and the exception it ended with."""

    error: BaseException | None


W = TypeVar("W", bound=Watched)


class _Worker(Generic[W]):
    """What runs in the thread. It does not know the stream, so that a dropped stream can go."""

    def __init__(
        self,
        make_watch: Callable[[Callable[[Event], None]], W],
        generate: Callable[[W], object],
    ) -> None:
        self.events: queue.SimpleQueue[Event | _Done] = queue.SimpleQueue()
        self.watch: W | None = None
        self._make_watch = make_watch
        self._generate = generate
        self._cancelled = False
        self._lock = threading.Lock()

    def run(self) -> None:
        error: BaseException | None = None
        try:
            watch = self._make_watch(self.events.put)
            with self._lock:
                self.watch = watch
                if self._cancelled:
                    watch.cancel()
            with watch:
                self._generate(watch)
        except CancelledError:
            pass  # the consumer's own wish
        except BaseException as raised:
            error = raised
        self.events.put(_Done(error))

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self.watch is not None:
                self.watch.cancel()


class EventStream(Iterator[Event], Generic[W]):
    """Iterates over the events of one call of ``generate``, which runs in a background thread.

    The thread starts with the first ``next``. Whatever is raised in it is raised here, by the
    ``next`` that would have brought the following event. Closing the stream (``close``, or leaving
    its ``with`` block) stops the generation at its next step, and returns when the model is as it
    was found; a stream that is dropped stops too, but nobody waits for it.

    Args:
        watch: makes the watch, given where to send the events; called in the thread.
        generate: calls ``generate`` inside the open watch.
    """

    def __init__(
        self,
        watch: Callable[[Callable[[Event], None]], W],
        generate: Callable[[W], object],
    ) -> None:
        self._worker = _Worker(watch, generate)
        self._thread: threading.Thread | None = None
        self._over = False

    def __iter__(self) -> EventStream[W]:
        return self

    def __next__(self) -> Event:
        if self._over:
            raise StopIteration
        if self._thread is None:
            self._thread = threading.Thread(target=self._worker.run, name="sightline", daemon=True)
            self._thread.start()
        item = self._worker.events.get()
        if not isinstance(item, _Done):
            return item
        self._over = True
        self._thread.join()
        if item.error is not None:
            raise item.error
        raise StopIteration

    def __enter__(self) -> EventStream[W]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._worker.cancel()

    def close(self) -> None:
        """Stop generating, wait until the model is as it was found, and end the iteration."""
        self._over = True
        self._worker.cancel()
        if self._thread is not None:
            self._thread.join()

    @property
    def watch(self) -> W:
        """The watch behind the stream: its reports and texts.

        Raises:
            WatchError: nothing was read from the stream yet.
        """
        if self._worker.watch is None:
            raise WatchError("The stream has not begun: read an event from it first.")
        return self._worker.watch
