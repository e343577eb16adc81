"""A call of ``generate`` that is recorded while it runs, and asked about when it is over."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..attention.deferred import DeferredTap
from ..attention.measurement import Distribution, Measurement, Meter
from ..decoding.inputs import prompt_length, read_prompts
from ..decoding.options import DecodingOptions
from ..errors import NonFiniteError, OptionError, WatchError
from ..models.anatomy import Anatomy
from .adapters import WatchingProcessor


@dataclass(frozen=True, slots=True)
class Transcript:
    """What one row wrote.

    Attributes:
        tokens: ids, an end token included; what ``generate`` filled the row with is left out.
        finish: why it ended: by itself, cut, or by a rule.
        seconds: from the call of ``generate`` to its end.
    """

    tokens: tuple[int, ...]
    finish: Literal["eos", "length", "stopped"]
    seconds: float


class Recorder:
    """Records a call of ``generate``, for those who want to know of few of its tokens.

    A :class:`.Watch` tells of every token while it is written. Where
    nobody listens and most tokens do not matter, it is cheaper to ask when all is written::

        with Recorder(model, anatomy, inputs, **options) as recorder:
            sequences = model.generate(
                **inputs, **options, logits_processor=[recorder.logits_processor]
            )
        transcripts = recorder.transcripts(sequences)
        recorder.measure(rows=[0, 0], steps=[3, 4]).evidence(1)  # of row 0, the fifth token

    Leaving the block puts the model back as it was found, whatever is raised.

    Args:
        model: the model that ``generate`` is called on.
        anatomy: where it keeps its parts; all layers that can be watched are.
        inputs: what ``generate`` will get from the processor: ``input_ids`` and the rest.
        on_nonfinite: what a row without a usable distribution does: ``raise``
            :class:`NonFiniteError`, or ``record`` it as a token without log-probability.
        options: the other arguments of ``generate``.

    Raises:
        InputError: as :meth:`Monitor.watch` raises it.
        OptionError: as :meth:`Monitor.watch` raises it, or the captions end at stop strings, which
            only a caption that is read while it is written can tell.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        inputs: Mapping[str, Any],
        *,
        on_nonfinite: Literal["raise", "record"] = "raise",
        **options: Any,
    ) -> None:
        self.options = DecodingOptions.of(model, options, prompt_length=prompt_length(inputs))
        if self.options.stop_strings:
            raise OptionError(
                f"A recorded caption must not end at stop strings, was given: "
                f"{', '.join(map(repr, self.options.stop_strings))}. Leave them out, or watch it: "
                f"monitor.watch()."
            )
        prompts = read_prompts(inputs, model=model, anatomy=anatomy, options=self.options)
        self._tap = DeferredTap(
            anatomy,
            prompts.image.to(model.device),
            prompt_mask=prompts.real.to(model.device),
        )
        self._meter = Meter(model, self._tap)
        self._on_nonfinite = on_nonfinite
        self._shape = prompts.ids.shape[0] * self.options.copies, prompts.ids.shape[1]
        self._pending: Distribution | None = None
        self._statistics: list[Tensor] = []
        self._known: npt.NDArray[np.float32] = np.empty((0, self._shape[0], 4), np.float32)
        self._times: list[float] = []
        self._stack = ExitStack()

    def __enter__(self) -> Recorder:
        with ExitStack() as stack:
            stack.enter_context(self._tap)
            stack.enter_context(self._meter)
            self._stack = stack.pop_all()
        self._times.append(time.perf_counter())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._times.append(time.perf_counter())

    @property
    def logits_processor(self) -> WatchingProcessor:
        """What ``generate`` takes among its logits processors; made anew, see :class:`.Watch`."""
        return WatchingProcessor(self)

    def on_scores(self, input_ids: Tensor) -> None:
        """A forward pass is done; told by :attr:`logits_processor`."""
        rows, prompt = self._shape
        steps = len(self._times) - 1
        if tuple(input_ids.shape) != (rows, prompt + steps):
            raise WatchError(
                f"Each step must add one token to each row: input_ids of step {steps} must have "
                f"shape {(rows, prompt + steps)}, was {tuple(input_ids.shape)}. Record one call "
                f"of generate, with the very inputs that were given to the recorder."
            )
        self._pick(input_ids[:, -1])
        self._pending = self._meter.distribution()
        self._tap.keep()
        self._times.append(time.perf_counter())

    def on_tokens(self, ids: Tensor) -> None:
        """A recorder needs no streamer: the tokens are in the sequences."""

    def on_end(self) -> None:
        """Likewise."""

    def transcripts(self, sequences: Tensor) -> tuple[Transcript, ...]:
        """What each row wrote. Called once, with what ``generate`` returned.

        Args:
            sequences: int64 ``[rows, length]``, the prompt included.

        Raises:
            WatchError: they are not those that were recorded.
            NonFiniteError: a token was picked from no usable distribution.
        """
        rows, prompt = self._shape
        steps = len(self._times) - 2
        if tuple(sequences.shape) != (rows, prompt + steps):
            raise WatchError(
                f"The sequences must be those that were recorded, {rows} of {prompt} + {steps} "
                f"tokens, were of shape {tuple(sequences.shape)}. Give generate the recorder's "
                f"logits_processor."
            )
        self._pick(sequences[:, -1])
        self._known = torch.stack(self._statistics).cpu().numpy()
        found = []
        for row, ids in enumerate(sequences[:, prompt:].tolist()):
            tokens, finish = _written(ids, self.options)
            if self._on_nonfinite == "raise":
                self._check(row, len(tokens))
            seconds = self._times[len(tokens) + 1] - self._times[0]
            found.append(Transcript(tokens, finish, seconds))
        return tuple(found)

    def measure(self, rows: Sequence[int], steps: Sequence[int]) -> Measurement:
        """What ``n`` tokens looked like when they were predicted; after :meth:`transcripts`.

        Args:
            rows: of each, its row in the batch.
            steps: of each, its place in the row, from 0.

        Returns:
            one row for each token asked for, in their order.
        """
        return Measurement(
            layers=self._tap.layers,
            masses=self._tap.read(rows, steps).cpu().numpy(),
            statistics=self._known[list(steps), list(rows)],
        )

    def _pick(self, tokens: Tensor) -> None:
        """Learn the tokens of the step before."""
        if self._pending is not None:
            self._statistics.append(torch.cat(self._pending.statistics(tokens), dim=1))
            self._pending = None

    def _check(self, row: int, tokens: int) -> None:
        bad = np.flatnonzero(~np.isfinite(self._known[:tokens, row, 2]))
        if len(bad):
            raise NonFiniteError(row=row, step=int(bad[0]))


def _written(
    ids: Sequence[int], options: DecodingOptions
) -> tuple[tuple[int, ...], Literal["eos", "length", "stopped"]]:
    """A row's own tokens, as :class:`.Watch` tells them from filling."""
    held = 0  # pad tokens at the end, which the model wrote only if another token follows
    for place, token in enumerate(ids):
        if token in options.eos:
            return tuple(ids[: place + 1]), "eos"
        if token == options.pad:
            held += 1
            continue
        held = 0
        if options.limit is not None and place + 1 >= options.limit:
            return tuple(ids[: place + 1]), "length"
    cut = not held and (options.limit is None or len(ids) >= options.limit)
    return tuple(ids[: len(ids) - held]), "length" if cut else "stopped"
