"""Worker processes: tasks in, results out, and an error that is heard of."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sightline.calibration.policies.crew import Crew, WorkerError


@pytest.fixture(autouse=True)
def _found_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed to a worker is imported there by its name, from the folder of all tests."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))


def _square(number: int) -> tuple[int, int]:
    if number < 0:
        raise ValueError(f"no root of {number}")
    if number == 1000:
        os._exit(9)
    return number * number, os.getpid()


def _worker(broken: bool = False) -> Callable[[int], tuple[int, int]]:
    if broken:
        raise RuntimeError("no model there")
    return _square


def test_tasks_are_shared() -> None:
    """All results come back, whoever made them, and the processes are gone afterwards."""
    with Crew(_worker, size=2) as crew:
        found = sorted(crew.each(range(20)))
        assert [square for square, _ in found] == [n * n for n in range(20)]
        pids = {pid for _, pid in found}
        assert os.getpid() not in pids
    for pid in pids:
        for _ in range(50):
            try:
                os.kill(pid, 0)
            except OSError:
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"worker {pid} is still there")


@pytest.mark.parametrize(
    ("make", "tasks", "said"),
    [
        (_worker, [3, -4], "no root of -4"),
        (_worker, [1000], "exit code 9"),
        (partial(_worker, broken=True), [1], "could not begin"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_raised(
    make: Callable[[], Callable[[int], tuple[int, int]]], tasks: list[int], said: str
) -> None:
    """An error in a task, a process that dies, one that cannot begin: all are errors here."""
    with Crew(make, size=1) as crew, pytest.raises(WorkerError, match=said):
        list(crew.each(tasks))
