"""Steps whose attention is read some at a time: when the first of them is asked for.

To read one row of attention is a walk through all keys of a layer; to read thirty is the same walk.
Where nobody listens to single tokens, a decoding step leaves its queries behind, and the masses of
all steps that wait come together.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...detectors.evidence import SEGMENTS
from .deferred import DeferredTap
from .lens import Lens
from .measurement import Measurement, Meter, UnreadStep


class LateMasses:
    """The masses of one step, which are read with those of its neighbours.

    Attributes:
        found: float32 ``[rows, layers, heads, segments]``, on the host; ``None`` until they were
            read.
    """

    __slots__ = ("_meter", "found")

    def __init__(self, meter: LateMeter) -> None:
        self._meter = meter
        self.found: npt.NDArray[np.float32] | None = None

    def __getitem__(self, row: int) -> npt.NDArray[np.float32]:
        if self.found is None:
            self._meter.read()
        assert self.found is not None
        masses: npt.NDArray[np.float32] = self.found[row]
        return masses


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
        return Measurement(
            layers=self.layers,
            masses=self.masses,
            statistics=host[:, :4],
            lens=None if self.lens is None else host[:, 4:],
        )


class LateMeter(Meter):
    """A meter whose steps keep their queries alone until one of them is asked for.

    What was not asked for is read when the block is left, because the cache that it is read from
    is not the meter's to keep.

    Args:
        model: the model that ``generate`` is called on.
        tap: an open tap on the same model.
        lens: an open lens on the same model, if internal confidence is asked for.
    """

    def __init__(self, model: nn.Module, tap: DeferredTap, lens: Lens | None = None) -> None:
        super().__init__(model, tap, lens)
        self._late = tap
        self._waiting: list[tuple[LateMasses, int]] = []  # with their rows
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
        return LateStep(distribution, lens, self._late.layers, masses)

    def read(self) -> None:
        """Read the attention of all steps that wait; in any thread."""
        with self._lock:
            if self._waiting:
                read = torch.stack(self._late.drain()).cpu().numpy()
                for (step, _), masses in zip(self._waiting, read, strict=True):
                    step.found = masses
                self._waiting.clear()

    def _give_up(self) -> None:
        unknown = np.full((len(self._late.layers), self._late.heads, len(SEGMENTS)), np.nan)
        with self._lock:
            for step, rows in self._waiting:
                step.found = np.broadcast_to(unknown.astype(np.float32), (rows, *unknown.shape))
            self._waiting.clear()
