"""Trying again: which errors pass, how long is waited, and that no item is lost on the way."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Sequence

import pytest
import torch
from sightline.monitor.errors import ImageError
from sightline.monitor.jobs.retries import Portions, Retries, device_lost, out_of_memory, passes

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _as_image_error(cause: Exception) -> ImageError:
    try:
        raise ImageError("cannot be read") from cause
    except ImageError as error:
        return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EIO, "input/output error"), True),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), True),
        (OSError(errno.ESTALE, "stale file handle"), True),
        (_as_image_error(OSError(errno.EIO, "input/output error")), True),
        (_as_image_error(FileNotFoundError(errno.ENOENT, "gone")), False),
        (OSError("image file is truncated"), False),
        (OSError(errno.ENOSPC, "no space left"), False),
        (PermissionError(errno.EACCES, "forbidden"), False),
        (ValueError("no number"), False),
    ],
)
def test_some_errors_pass(error: Exception, expected: bool) -> None:
    """Disks and networks hiccup; what is missing, forbidden, full or damaged stays so."""
    assert passes(error) is expected


def test_what_is_out_of_memory_and_what_is_lost() -> None:
    """The same words from every backend; a full device is not a lost one."""
    assert out_of_memory(CUDA)
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("MPS backend out of memory (9 GB allocated)"))
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate"))
    assert not out_of_memory(RuntimeError("shapes differ"))
    assert device_lost(torch.AcceleratorError("CUDA error: an illegal memory access"))
    assert not device_lost(torch.AcceleratorError("CUDA error: out of memory"))
    assert not device_lost(CUDA)


def test_waits_are_twice_as_long_each_time() -> None:
    """Half a second, one, two: and then the error is the caller's."""
    slept: list[float] = []
    tries: list[int] = []

    def work() -> None:
        tries.append(1)
        raise OSError(errno.EIO, "input/output error")

    with pytest.raises(OSError, match="input/output"):
        Retries(3, sleep=slept.append).call(work)
    assert slept == [0.5, 1.0, 2.0]
    assert len(tries) == 4


def test_what_comes_right_is_returned_and_what_never_will_is_not_waited_for() -> None:
    """The third time lucky; a missing file fails at once."""
    slept: list[float] = []
    answers = iter([OSError(errno.EIO, "io"), OSError(errno.EIO, "io"), "there"])

    def work() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    def missing() -> None:
        raise FileNotFoundError(errno.ENOENT, "gone")

    assert Retries(2, sleep=slept.append).call(work) == "there"
    with pytest.raises(FileNotFoundError):
        Retries(2, sleep=slept.append).call(missing)
    assert slept == [0.5, 1.0]


def test_a_number_of_retries_is_not_negative() -> None:
    """The error says what was given."""
    with pytest.raises(ValueError, match="-1"):
        Retries(-1)


class Machine:
    """Doubles numbers, with room for so many, and dislikes some."""

    def __init__(self, room: int, bad: Sequence[int] = (), lost: int | None = None) -> None:
        self.room, self.bad, self.lost = room, bad, lost
        self.sizes: list[int] = []
        self.said: list[int] = []
        self.slept: list[float] = []

    def work(self, items: Sequence[int]) -> list[int]:
        """Twice each."""
        self.sizes.append(len(items))
        if len(items) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if self.lost in items:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        if set(items) & set(self.bad):
            raise ValueError("indigestible")
        return [2 * item for item in items]

    def portions(self, retries: int = 2) -> Portions[int, int | str]:
        """What divides the work for it."""
        return Portions(
            self.work,
            lambda item, error: f"{item}: {type(error).__name__}",
            retries=Retries(retries, sleep=self.slept.append),
            on_smaller=self.said.append,
        )


def test_without_room_a_batch_is_halved_and_nothing_lost() -> None:
    """Seven items, room for two: every result in its place, and the next batch begins small."""
    machine = Machine(room=2)
    portions = machine.portions()
    assert portions.results(range(7)) == [0, 2, 4, 6, 8, 10, 12]
    assert machine.said == [4, 2]
    machine.sizes.clear()
    assert portions.results(range(4)) == [0, 2, 4, 6]
    assert machine.sizes == [2, 2]


def test_larger_batches_are_tried_again_later() -> None:
    """When parts had room for long enough, the whole batch is given another chance."""
    machine = Machine(room=2)
    portions = machine.portions()
    portions.results(range(4))
    machine.room = 8
    for _ in range(20):
        assert portions.results(range(4)) == [0, 2, 4, 6]
    assert machine.sizes[-1] == 4


def test_a_single_item_without_room_is_waited_for() -> None:
    """Somebody else may free the memory; if nobody does, that item fails alone."""
    machine = Machine(room=0)
    assert machine.portions().results([1, 2]) == ["1: OutOfMemoryError", "2: OutOfMemoryError"]
    assert machine.slept == [0.5, 1.0] * 2

    freed = Machine(room=0)
    freed.portions()
    portions = Portions(
        freed.work,
        lambda item, error: -1,
        retries=Retries(2, sleep=lambda _: setattr(freed, "room", 1)),
    )
    assert portions.results([5]) == [10]


def test_what_fails_in_company_is_done_alone() -> None:
    """One bad item harms no other, and its error is told."""
    assert Machine(8, bad=[2]).portions().results(range(4)) == [0, 2, "2: ValueError", 6]


def test_a_lost_device_ends_it() -> None:
    """Nothing is asked of it any more, and what was not done says why."""
    machine = Machine(room=2, lost=2)
    portions = machine.portions()
    found = portions.results(range(6))
    assert found[:2] == [0, 2]
    assert found[2:] == [f"{item}: AcceleratorError" for item in range(2, 6)]
    assert isinstance(portions.lost, torch.AcceleratorError)
    machine.sizes.clear()
    assert portions.results([1]) == ["1: AcceleratorError"]
    assert not machine.sizes


def test_what_was_in_memory_is_free_before_the_halves() -> None:
    """The failed batch's tensors die with its error: the halves would find no room beside them."""
    alive: list[weakref.ref[torch.Tensor]] = []

    def work(items: Sequence[int]) -> list[int]:
        assert not any(ref() is not None for ref in alive)
        held = torch.zeros(1000)
        alive.append(weakref.ref(held))
        if len(items) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [int(held.sum()) + item for item in items]

    portions = Portions(work, lambda item, error: -1, retries=Retries(0))
    assert portions.results([1, 2, 3, 4]) == [1, 2, 3, 4]
