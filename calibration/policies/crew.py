"""Worker processes that each hold a model: tasks go in, what came of them comes out."""

from __future__ import annotations

import multiprocessing
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerError(RuntimeError):
    """A worker raised an error, or is gone."""


class Crew(Generic[Task, Result]):
    """Several processes that do tasks as they become free.

    Used as a context manager, which ends them.

    Args:
        make: makes what does the tasks, once in each process; a picklable function.
        size: how many processes.
    """

    def __init__(self, make: Callable[[], Callable[[Task], Result]], *, size: int) -> None:
        self._make = make
        self._size = size
        self._members: dict[Connection, SpawnProcess] = {}
        self._busy: set[Connection] = set()

    def __enter__(self) -> Crew[Task, Result]:
        context = multiprocessing.get_context("spawn")
        for _ in range(self._size):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, self._make), daemon=True)
            process.start()
            there.close()  # a worker that is gone is an end of file here
            self._members[here] = process
        return self

    def __exit__(self, *_: object) -> None:
        for here, process in self._members.items():
            if here in self._busy:
                process.terminate()
            here.close()  # who waits for a task takes this for the end
        for process in self._members.values():
            process.join()

    def each(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """The results of tasks, in the order in which they are done.

        Raises:
            WorkerError: a task raised, or a worker is gone.
        """
        left, busy = deque(tasks), self._busy
        for here in self._members:
            if left:
                here.send(left.popleft())
                busy.add(here)
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                result = self._receive(ready)
                if left:
                    ready.send(left.popleft())
                else:
                    busy.discard(ready)
                yield result

    def _receive(self, here: Connection) -> Any:
        try:
            good, value = here.recv()
        except (EOFError, OSError) as error:
            process = self._members[here]
            process.join(5)
            raise WorkerError(
                f"A worker process ended by itself (exit code {process.exitcode}), perhaps for "
                f"want of memory. Use fewer workers; what is done is kept."
            ) from error
        if not good:
            raise WorkerError(value)
        return value


def _serve(there: Connection, make: Callable[[], Callable[[Any], Any]]) -> None:
    """Do tasks until nobody gives any more."""
    try:
        work = make()
    except Exception:
        _say(there, (False, f"A worker process could not begin:\n{traceback.format_exc()}"))
        return
    while True:
        try:
            task = there.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            answer = (True, work(task))
        except KeyboardInterrupt:
            return
        except Exception:
            answer = (False, f"A worker process failed:\n{traceback.format_exc()}")
        if not _say(there, answer):
            return


def _say(there: Connection, answer: tuple[bool, Any]) -> bool:
    try:
        there.send(answer)
    except OSError:
        return False  # whoever asked is gone
    return True
