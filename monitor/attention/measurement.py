"""Each step's numbers, gathered on the device and brought to the host in one transfer."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...detectors.evidence import Evidence
from ..errors import WatchError
from .lens import Lens, LensStep
from .step import StepAttention
from .tap import AttentionTap


class Masses(Protocol):
    """Attention masses of several rows."""

    def __getitem__(self, row: int, /) -> npt.NDArray[np.float32]:
        """Float32 ``[layers, heads, segments]``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """One step of the whole batch, on the host.

    Attributes:
        layers: the decoder layers watched, ascending.
        masses: float32 ``[rows, layers, heads, segments]``, or what gives a row of them.
        statistics: float32 ``[rows, 4]``, in nats: log-probability of the token that was picked,
            entropy, and the two highest log-probabilities.
        lens: float32 ``[rows, 1 + layers]``; internal confidence of the token that was picked (NaN
            where it is not known), and what each layer's attention adds to its logit; ``None``
            without a lens.
    """

    layers: tuple[int, ...]
    masses: Masses
    statistics: npt.NDArray[np.float32]
    lens: npt.NDArray[np.float32] | None = None

    @property
    def all_finite(self) -> bool:
        """Whether every row is :meth:`finite`."""
        return all(map(math.isfinite, self.statistics[:, 2].tolist()))

    def finite(self, row: int) -> bool:
        """Whether a row's logits had a finite maximum and no NaN."""
        return math.isfinite(self.statistics[row, 2])

    def evidence(self, row: int) -> Evidence:
        """What the row's token looked like when it was predicted."""
        return Evidence(self.layers, self.masses[row], *self._beside_masses(row))

    def _beside_masses(
        self, row: int
    ) -> tuple[
        float | None, float | None, float | None, float | None, npt.NDArray[np.float32] | None
    ]:
        """The other fields of :class:`.Evidence`, in their order."""
        log_prob, entropy, best, second = self.statistics[row].tolist()
        finite = math.isfinite(best)
        confidence = math.nan if self.lens is None else float(self.lens[row, 0])
        return (
            log_prob if finite else None,
            entropy if finite else None,
            best - second if finite else None,
            confidence if math.isfinite(confidence) else None,
            None if self.lens is None else self.lens[row, 1:],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """What a step's raw logits say, its token not picked yet; every tensor still on the device."""

    log_probs: Tensor  # [rows, vocabulary]
    entropy: Tensor  # [rows, 1]
    top: Tensor  # [rows, 2], the two highest log-probabilities

    def statistics(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The columns of :attr:`Measurement.statistics`, once the tokens ``[rows]`` are known."""
        tokens = tokens.to(self.log_probs.device)
        return self.log_probs.gather(1, tokens[:, None]), self.entropy, self.top


@dataclass(frozen=True, slots=True, eq=False)
class UnreadStep(ABC):
    """A step whose token is not picked yet; every tensor still on the device."""

    distribution: Distribution
    lens: LensStep | None

    def unusable(self) -> list[int]:
        """Rows without a usable distribution. Waits for the device."""
        best = self.distribution.top[:, 0].tolist()
        return [row for row, value in enumerate(best) if not math.isfinite(value)]

    @abstractmethod
    def collect(self, tokens: Tensor) -> Measurement:
        """Bring the step to the host, once its tokens are known: its only transfer.

        Args:
            tokens: int64 ``[rows]``, the picked tokens, on the host.
        """


@dataclass(frozen=True, slots=True, eq=False)
class PendingStep(UnreadStep):
    """The same, with its attention."""

    attention: StepAttention

    def collect(self, tokens: Tensor) -> Measurement:
        """Bring the step to the host, attention and all."""
        masses, device = self.attention.masses, self.distribution.top.device
        parts = [masses.flatten(1).to(device), *self.distribution.statistics(tokens)]
        if self.lens is not None:
            parts.append(self.lens.of(tokens).to(device))
        host = torch.cat(parts, dim=1).cpu().numpy()
        end = masses[0].numel()
        return Measurement(
            layers=self.attention.layers,
            masses=host[:, :end].reshape(masses.shape),
            statistics=host[:, end : end + 4],
            lens=None if self.lens is None else host[:, end + 4 :],
        )


class Meter:
    """Reads a model's raw logits, step by step, and knows the tap beside them.

    The raw logits come from a forward hook, because a logits processor only sees them after
    ``generate``'s own processors (a repetition penalty, say) have changed them. The hook returns
    nothing, acts in the thread that opened it alone, and is gone when the block is left.

    Args:
        model: the model that ``generate`` is called on.
        tap: an open tap on the same model.
        lens: an open lens on the same model, if internal confidence is asked for.
    """

    def __init__(self, model: nn.Module, tap: AttentionTap, lens: Lens | None = None) -> None:
        self._model = model
        self._tap = tap
        self._lens = lens
        self._thread = 0
        self._logits: Tensor | None = None
        self._passes = 0
        self._listening = True
        self._hook: torch.utils.hooks.RemovableHandle | None = None

    def __enter__(self) -> Self:
        self._thread = threading.get_ident()
        self._hook = self._model.register_forward_hook(self._after_pass)
        self._tap.on_logits = self._learn  # of passes that run compiled
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._tap.on_logits = None
        self._logits = None

    def _after_pass(self, model: nn.Module, args: Any, output: Any) -> None:
        # What is traced is told by the operator that the tap puts into the graph.
        if torch.compiler.is_dynamo_compiling() or threading.get_ident() != self._thread:
            return
        self._learn(getattr(output, "logits", None))

    def _learn(self, logits: object) -> None:
        if not self._listening:
            return
        self._passes += 1
        # A view of the last position: it lives until measure(), as long as generate's own output.
        self._logits = logits.detach()[:, -1] if isinstance(logits, Tensor) else None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let passes of the model go by unread, by tap and lens too; for the same thread."""
        with ExitStack() as stack:
            stack.enter_context(self._tap.aside())
            if self._lens is not None:
                stack.enter_context(self._lens.aside())
            before, self._listening = self._listening, False
            try:
                yield
            finally:
                self._listening = before

    def distribution(self) -> Distribution:
        """What the logits of the latest forward pass say; the tap is not asked.

        Raises:
            WatchError: not exactly one forward pass with logits happened since the last call.
        """
        passes, logits = self._passes, self._logits
        self._passes, self._logits = 0, None
        if passes != 1 or logits is None:
            raise WatchError(
                f"Each token must come from exactly one forward pass of the watched model in this "
                f"thread, but there were {passes}. Guidance and chunked prefill cannot be watched, "
                f"nor models whose generate() calls an inner model's; assisted decoding must be "
                f"announced: monitor.watch(inputs, assistant_model=...)."
            )
        log_probs = logits.float().log_softmax(dim=-1)
        # A token that cannot come adds nothing; 0 times minus infinity would be no number.
        surprise = log_probs.clamp_min(torch.finfo(torch.float32).min)
        return Distribution(
            log_probs=log_probs,
            entropy=-log_probs.exp().mul_(surprise).sum(dim=-1, keepdim=True),
            top=log_probs.topk(2, dim=-1).values,
        )


class StepMeter(Meter):
    """Reads a model's raw logits and its attention, step by step."""

    def measure(self) -> PendingStep:
        """What the latest forward pass shows, queued on the device; nothing waits for it.

        Raises:
            WatchError: not exactly one forward pass with logits happened since the last call.
        """
        distribution = self.distribution()
        lens = None if self._lens is None else self._lens.take()
        return PendingStep(distribution, lens, self._tap.take())
