"""A Ray cluster for as long as a job lasts: one of its own on this machine, or one that runs."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...detectors.extras import remedy
from ..errors import ClusterError

if TYPE_CHECKING:
    from ray.data import DataContext  # pyright: ignore[reportMissingImports]

STORE: Final = 200_000_000
"""Bytes of shared memory that a cluster of our own may fill with records on their way."""

_SOCKET_ROOM: Final = 40
"""Longest path below which Ray's sockets, whose paths may have 107 bytes, still find room."""

_PARTING: Final = 5.0
"""Seconds for which the last processes of a cluster may still write into its folder."""

_SILENT: Final = {"RAY_BACKEND_LOG_LEVEL": "fatal"}
_AT_HOME: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""What Ray reads when it is imported: it listens on loopback alone, and reports nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """How many processes caption, each with a model of its own, and what each one needs.

    Attributes:
        count: how many.
        gpus: GPUs of each; a part of one where several share it; 0 to caption on the CPU.
        cpus: cores of each, which are also the threads that torch uses in it.

    Raises:
        ValueError: no workers, or nothing for them to run on.
    """

    count: int = 1
    gpus: float = 0.0
    cpus: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"There must be at least 1 worker, was: {self.count}.")
        if self.gpus < 0:
            raise ValueError(f"GPUs of a worker must be 0 or more, was: {self.gpus}.")
        if self.cpus <= 0:
            raise ValueError(f"Cores of a worker must be more than 0, was: {self.cpus}.")

    @classmethod
    def here(cls, count: int, *, gpus: float = 0.0) -> Workers:
        """As many on this machine: without GPUs they divide its cores among them."""
        cores = 1 if gpus else max(1, (os.cpu_count() or 1) // max(1, count))
        return cls(count=count, gpus=gpus, cpus=cores)


def require_ray() -> Any:
    """Ray, if it is installed.

    Raises:
        ClusterError: it is not; the message says how to install it.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.data  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ClusterError(
            f"Captions by several workers need Ray Data, which is not installed: {remedy('ray')}"
        ) from error
    return ray


@contextmanager
def cluster(workers: Workers, *, address: str | None = None) -> Iterator[None]:
    """A cluster that has room for the workers; on leaving, it is shut down or left.

    Without ``address`` one is started in this process's care: it listens on loopback alone, sends
    no usage statistics, has no dashboard, keeps at most :data:`STORE` bytes of records on their
    way, and ends with the process even where that is killed. On leaving, whatever Ray set in this
    process is as it was: environment, loggers, the handler of SIGTERM.

    Args:
        workers: what the cluster must have room for.
        address: of a cluster that runs, as ``ray start`` prints it, or ``auto`` for the one that
            this machine belongs to. The process must run on one of its machines.

    Raises:
        ClusterError: Ray is missing, no cluster can be reached or started there, or it has no room
            for the workers.
    """
    if address is not None and address.startswith("ray://"):
        raise ClusterError(
            f"A job must run on one of the cluster's machines, was to be a client of {address}. "
            f"Start it there (ray job submit), and give auto or HOST:PORT."
        )
    with ExitStack() as stack:
        stack.enter_context(_environment({} if address is not None else _AT_HOME))
        ray = require_ray()
        os.environ.update(_SILENT)  # read when Ray starts; where it is read at import, it is told
        if ray.is_initialized():
            raise ClusterError(
                "A job starts or joins its cluster itself, but this process is in one already. "
                "Call ray.shutdown() before it, or use caption_dataset() in the cluster at hand."
            )
        stack.enter_context(_signals())
        stack.enter_context(_silence())
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if address is None:
            options |= _own(workers, stack.enter_context(_folder()))
        stack.callback(ray.shutdown)  # before the folder goes that its processes write to
        try:
            with _mute():
                ray.init("local" if address is None else address, **options)
        except (OSError, RuntimeError, ValueError) as error:
            where = "started on this machine" if address is None else f"reached at {address}"
            raise ClusterError(f"No Ray cluster could be {where}: {error}") from error
        _check_room(ray.cluster_resources(), workers, grows=address is not None)
        yield


def _own(workers: Workers, folder: Path) -> dict[str, Any]:
    """How a cluster is started that is ours alone."""
    return {
        "num_cpus": max(1, math.ceil(workers.count * workers.cpus)),
        "object_store_memory": STORE,
        "include_dashboard": False,
        "_temp_dir": str(folder),
    }


def _check_room(there: dict[str, float], workers: Workers, *, grows: bool) -> None:
    """Refuse what would wait forever: Ray starts workers when there is room, however long."""
    count = 1 if grows else workers.count
    for name, each in (("CPU", workers.cpus), ("GPU", workers.gpus)):
        if there.get(name, 0.0) < count * each:
            raise ClusterError(
                f"The cluster must have {count * each:g} {name} for {count} workers with {each:g} "
                f"each, has {there.get(name, 0.0):g}. Ask for fewer workers, or for less of it in "
                f"each."
            )


def quiet_context() -> DataContext:
    """Ray Data's settings for a job of ours: silent, and what comes back is in order.

    What is done before something earlier waits in the cluster's store, where Ray bounds it.
    """
    from ray.data import DataContext  # pyright: ignore[reportMissingImports]

    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    return context


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables that hold for a while; whatever else is set meanwhile goes, too."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in values.items() if name not in before})
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _silence() -> Iterator[None]:
    """Ray's loggers say nothing below the critical; what goes wrong comes as an exception."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _mute() -> Iterator[None]:
    """What is not Python in Ray says on stderr that it was told to say nothing; not here."""
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


@contextmanager
def _signals() -> Iterator[None]:
    """Ray takes SIGTERM over when it starts; here it is given back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for the sockets and logs of a cluster of our own."""
    root = tempfile.gettempdir()
    if len(root) > _SOCKET_ROOM and sys.platform != "win32":
        root = "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="sightline-", dir=root))
    try:
        yield folder
    finally:
        until = time.monotonic() + _PARTING
        while folder.exists() and time.monotonic() < until:
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                time.sleep(0.1)
