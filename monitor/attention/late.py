"""Steps whose attention is read some at a time: when somebody asks for that of one of them.

To read one row of attention is a walk through all keys of a layer; to read thirty is the same walk.
So a decoding step leaves its queries behind, and the masses of all steps that wait come together:
when a noun is judged, when a listener looks at a token's, or when thirty-two wait. What is asked of
one row of a batch is read of that row alone.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...detectors.evidence import SEGMENTS, Evidence
from .deferred import DeferredTap
from .lens import Lens
from .measurement import Measurement, Meter, UnreadStep

_MOST: Final = 32  # steps that wait


class LateMasses:
    """The masses of one step, of which a row is read with those of its neighbours."""

    __slots__ = ("_found", "_meter")

    def __init__(self, meter: LateMeter) -> None:
        self._meter: LateMeter | None = meter
        self._found: dict[int, npt.NDArray[np.float32]] = {}

    def __getitem__(self, row: int) -> npt.NDArray[np.float32]:
        meter = self._meter
        if row not in self._found and meter is not None:
            meter.read(row)
        return self._found[row]

    def fill(self, row: int, masses: npt.NDArray[np.float32]) -> None:
        """Float32 ``[layers, heads, segments]``, on the host; what was read first stays."""
        self._found.setdefault(row, masses)

    def complete(self, masses: npt.NDArray[np.float32]) -> None:
        """Of all rows, ``[rows, layers, heads, segments]``; the meter is let go."""
        for row, found in enumerate(masses):
            self.fill(row, found)
        self._meter = None


class LateEvidence(Evidence):
    """Evidence whose masses are read when they are asked for."""

    __slots__ = ("_late", "_row")
    _late: LateMasses
    _row: int

    @classmethod
    def waiting(cls, layers: tuple[int, ...], late: LateMasses, row: int, *rest: Any) -> Evidence:
        """As :class:`.Evidence`, with a row of ``late`` in place of its masses."""
        evidence = object.__new__(cls)
        names = [field.name for field in fields(cls) if field.name != "masses"]
        for name, value in zip(names, (layers, *rest), strict=True):
            object.__setattr__(evidence, name, value)
        object.__setattr__(evidence, "_late", late)
        object.__setattr__(evidence, "_row", row)
        return evidence

    def __getattr__(self, name: str) -> Any:
        # Only what was not set comes here.
        if name != "masses":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        masses = self._late[self._row]
        object.__setattr__(self, "masses", masses)
        return masses


class LateMeasurement(Measurement):
    """A step whose attention is still to be read."""

    __slots__ = ()

    def evidence(self, row: int) -> Evidence:
        """What the row's token looked like when it was predicted."""
        assert isinstance(self.masses, LateMasses)
        return LateEvidence.waiting(self.layers, self.masses, row, *self._beside_masses(row))


@dataclass(frozen=True, slots=True, eq=False)
class LateStep(UnreadStep):
    """A step whose token is not picked yet, nor its attention read."""

    layers: tuple[int, ...]
    masses: LateMasses

    def collect(self, tokens: Tensor) -> Measurement:
        """Bring all but the attention to the host."""
        parts = [*self.distribution.statistics(tokens)]
        if self.lens is not None:
            parts.append(self.lens.of(tokens).to(parts[0].device))
        host = torch.cat(parts, dim=1).cpu().numpy()
        return LateMeasurement(
            layers=self.layers,
            masses=self.masses,
            statistics=host[:, :4],
            lens=None if self.lens is None else host[:, 4:],
        )


class LateMeter(Meter):
    """A meter whose steps keep their queries alone until one of them is asked for.

    No more than thirty-two wait: by then they cost as much apart as together. What was not asked
    for is read when the block is left, because the cache that it is read from is not the meter's to
    keep.

    Args:
        model: the model that ``generate`` is called on.
        tap: an open tap on the same model.
        lens: an open lens on the same model, if internal confidence is asked for.
    """

    def __init__(self, model: nn.Module, tap: DeferredTap, lens: Lens | None = None) -> None:
        super().__init__(model, tap, lens)
        self._late = tap
        self._waiting: list[tuple[LateMasses, int]] = []  # with their rows
        self._known: defaultdict[int, int] = defaultdict(int)  # of a row, how many of them
        self._lock = threading.Lock()  # reports may be asked for by another thread than generate's

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        try:
            self.read()
        except (RuntimeError, TypeError, IndexError):
            # The device is lost, or the cache was cut or emptied: these tokens are unknown.
            self._give_up()

    def measure(self) -> LateStep:
        """What the latest forward pass shows, its attention for later.

        Raises:
            WatchError: not exactly one forward pass with logits happened since the last call.
        """
        distribution = self.distribution()
        lens = None if self._lens is None else self._lens.take()
        with self._lock:
            self._late.keep()
            masses = LateMasses(self)
            self._waiting.append((masses, distribution.top.shape[0]))
        if len(self._waiting) >= _MOST:
            self.read()
        return LateStep(distribution, lens, self._late.layers, masses)

    def read(self, row: int | None = None) -> None:
        """Read the attention of all steps that wait, of one row or all of them; in any thread."""
        with self._lock:
            waiting = self._waiting
            if not waiting:
                return
            if row is None or waiting[0][1] == 1:
                every = torch.stack(self._late.drain()).cpu().numpy()
                for (step, _), masses in zip(waiting, every, strict=True):
                    step.complete(masses)
                self._forget()
                return
            steps = range(self._known[row], len(waiting))
            some = self._late.read([row] * len(steps), steps).cpu().numpy()
            for place, masses in zip(steps, some, strict=True):
                waiting[place][0].fill(row, masses)
            self._known[row] = len(waiting)

    def _give_up(self) -> None:
        unknown = np.full((len(self._late.layers), self._late.heads, len(SEGMENTS)), np.nan)
        with self._lock:
            for step, rows in self._waiting:
                step.complete(np.broadcast_to(unknown.astype(np.float32), (rows, *unknown.shape)))
            self._forget()

    def _forget(self) -> None:
        self._waiting.clear()
        self._known.clear()
