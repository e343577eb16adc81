"""Passes that verify a block of candidate tokens, read row by row."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from .measurement import Distribution, Measurement, PendingStep, StepMeter
from .tap import AttentionTap


class BlockMeter(StepMeter):
    """Reads the passes in which assisted decoding verifies what was drafted.

    Such a pass reads the newest token and the candidates for what follows it; each of its rows
    predicts a token, and those up to the first that was not drafted are accepted. So each row is a
    step, and the rows of the tokens that were not accepted are forgotten. What runs between these
    passes (another model that drafts, even one that shares layers with the watched model) is not
    seen.

    Args:
        model: the model that ``generate`` is called on.
        tap: an open tap on the same model, for one sequence.
        length: positions of the prompt.
    """

    def __init__(self, model: nn.Module, tap: AttentionTap, *, length: int) -> None:
        super().__init__(model, tap)
        self._known = length
        self._counts: list[int] = []  # how many tokens each pass gave
        self._rows = 1
        self._aside = ExitStack()
        self._before: torch.utils.hooks.RemovableHandle | None = None

    def __enter__(self) -> BlockMeter:
        super().__enter__()
        self._aside.enter_context(self._tap.aside())
        self._before = self._model.register_forward_pre_hook(self._before_pass, with_kwargs=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            self._before.remove()
        self._aside.close()
        super().__exit__(kind, error, trace)

    @property
    def unread(self) -> bool:
        """Whether a pass of the watched model was not measured yet."""
        return self._passes > 0

    @property
    def recent_patches(self) -> tuple[Tensor, ...]:
        """Attention to each image token ``[1, layers, image tokens]`` of each token accepted, for
        as many passes as the tap keeps."""
        kept = self._tap.recent_patches
        counts = self._counts[-len(kept) :] if kept else []
        return tuple(
            patches[:, :, row]
            for patches, count in zip(kept, counts, strict=False)
            for row in range(count)
        )

    def measure(self) -> PendingStep:
        """What the latest pass shows, each of its rows as a row of a batch of its own.

        Raises:
            WatchError: not exactly one forward pass with logits happened since the last call.
        """
        return _row_by_row(self._tap, self.distribution())

    def accept(self, step: PendingStep, tokens: Tensor) -> tuple[Measurement, ...]:
        """Bring the rows of the accepted tokens to the host, in one transfer.

        Args:
            step: from :meth:`measure`.
            tokens: int64 ``[accepted]``, on the host.

        Returns:
            one measurement of a single row for each token.
        """
        count = len(tokens)
        self._known += count
        self._counts.append(count)
        whole = step.distribution
        kept = PendingStep(
            Distribution(whole.log_probs[:count], whole.entropy[:count], whole.top[:count]),
            None,
            replace(step.attention, masses=step.attention.masses[:count]),
        )
        read = kept.collect(tokens)
        return tuple(
            Measurement(read.layers, read.masses[i][None], read.statistics[i : i + 1])
            for i in range(count)
        )

    def _before_pass(self, model: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if threading.get_ident() != self._thread:
            return
        cache = kwargs.get("past_key_values")
        cached = 0 if cache is None else int(cache.get_seq_length())
        # The row of the newest token that is known, and those of all candidates after it.
        self._rows = cached + kwargs["input_ids"].shape[1] - self._known + 1
        self._tap.rows = self._rows
        self._aside.close()

    def _after_pass(self, model: nn.Module, args: Any, output: Any) -> None:
        super()._after_pass(model, args, output)
        if threading.get_ident() != self._thread:
            return
        self._aside.enter_context(self._tap.aside())
        logits = getattr(output, "logits", None)
        if isinstance(logits, Tensor):
            # generate writes the processed scores into its view of the very same tensor.
            self._logits = logits.detach()[0, -self._rows :].clone()


class SpanMeter(StepMeter):
    """Reads a pass over several tokens of one sequence, each of its rows as a step.

    Args:
        model: the model that ``generate`` is called on.
        tap: an open tap on the same model, for one sequence; measures one row again afterwards.
        rows: how many rows, from the last.
    """

    def __init__(self, model: nn.Module, tap: AttentionTap, *, rows: int) -> None:
        super().__init__(model, tap)
        self._rows = rows

    def __enter__(self) -> SpanMeter:
        super().__enter__()
        self._tap.rows = self._rows
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tap.rows = None
        super().__exit__(kind, error, trace)

    def measure(self) -> PendingStep:
        """What the latest pass shows, each of its rows as a row of a batch of its own.

        Raises:
            WatchError: not exactly one forward pass with logits happened since the last call.
        """
        return _row_by_row(self._tap, self.distribution())

    def _after_pass(self, model: nn.Module, args: Any, output: Any) -> None:
        super()._after_pass(model, args, output)
        logits = getattr(output, "logits", None)
        if threading.get_ident() == self._thread and isinstance(logits, Tensor):
            self._logits = logits.detach()[0, -self._rows :]


def _row_by_row(tap: AttentionTap, distribution: Distribution) -> PendingStep:
    step = tap.take()
    masses = step.masses[0].permute(2, 0, 1, 3)
    return PendingStep(distribution, None, replace(step, masses=masses, patches=None))
