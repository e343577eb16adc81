"""One watched call of ``generate``: everything that is open while it runs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from ..detectors.evidence import Evidence
from .adapters import WatchingProcessor, WatchingStreamer
from .attention.lens import Lens
from .attention.measurement import Measurement, PendingStep, StepMeter
from .attention.tap import AttentionTap
from .caption import Caption
from .decoding.options import DecodingOptions
from .errors import NonFiniteError, SightlineError, WatchError
from .events import End, Event
from .report import Header, Report, ReportBuilder

_UNREAD = 32
"""Tokens a row that are read as text together, while nobody listens."""


class CancelledError(SightlineError):
    """Raised inside ``generate`` after :meth:`Watch.cancel`."""


@dataclass(slots=True)
class _Row:
    """A caption on its way, its report and the pad tokens whose meaning is still open."""

    caption: Caption
    builder: ReportBuilder
    held: list[tuple[int, Evidence]] = field(default_factory=list)
    seconds: float | None = None


class Watch:
    """A context manager around one call of ``generate``. Made by ``Monitor.watch``.

    While it is open, the model's attention and logits are read in this thread; when it closes,
    whatever was raised, the model is as it was. ``generate`` must get both halves of the pair::

        with monitor.watch(inputs) as watch:
            model.generate(**inputs, logits_processor=[watch.logits_processor],
                           streamer=watch.streamer)
        print(watch.reports[0].to_json())

    Args:
        model: the model that ``generate`` is called on.
        tap: not open yet.
        prompt: int64 ``[batch, length]``, the ``input_ids`` that ``generate`` will get.
        options: what is known of the other arguments of ``generate``.
        headers: one per prompt.
        caption: makes the caption of a row.
        lens: not open yet, on the same layers as the tap; for internal confidence.
        on_nonfinite: what a row without a usable distribution does: ``raise``
            :class:`NonFiniteError`, or ``record`` it as a token without log-probability.
        on_event: called with every event, in order, in the thread of ``generate``.
        streamer: another streamer that is to see what ours sees.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        tap: AttentionTap,
        prompt: Tensor,
        options: DecodingOptions,
        headers: Sequence[Header],
        caption: Callable[[int], Caption],
        lens: Lens | None = None,
        on_nonfinite: Literal["raise", "record"] = "raise",
        on_event: Callable[[Event], None] | None = None,
        streamer: BaseStreamer | None = None,
    ) -> None:
        self.logits_processor = WatchingProcessor(self)
        self.streamer = WatchingStreamer(self, also=streamer)
        self.options = options
        self._tap = tap
        self._lens = lens
        self._meter = StepMeter(model, tap, lens)
        self._prompt = prompt
        self._headers = tuple(headers)
        self._caption = caption
        self._on_nonfinite = on_nonfinite
        self._on_event = on_event
        self._rows: list[_Row] = []
        self._pending: deque[PendingStep] = deque()
        self._steps = 0
        self._thread: int | None = None
        self._cancelled = threading.Event()
        self._stack = ExitStack()
        self._began = 0.0
        self._now = 0.0  # when the token that is being read was picked
        self._first_token: float | None = None
        # Tokens that were measured and not yet read as text: see on_tokens.
        self._unread: deque[tuple[list[int], Measurement, float]] = deque()
        self._lock = threading.RLock()

    # --- the block ------------------------------------------------------------------------------

    def __enter__(self) -> Watch:
        if self._thread is not None:
            raise WatchError(
                "A watch covers one call of generate. Make a new one: monitor.watch()."
            )
        self._thread = threading.get_ident()
        with ExitStack() as stack:
            stack.enter_context(self._tap)
            if self._lens is not None:
                stack.enter_context(self._lens)
            stack.enter_context(self._meter)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        pending = tuple(self._pending)
        self._pending.clear()
        if isinstance(error, RuntimeError) and self._on_nonfinite == "raise":
            # Sampling from NaN raises inside torch before the streamer learns of the step.
            self._explain(error, pending)

    def cancel(self) -> None:
        """Make ``generate`` stop at its next step with :class:`CancelledError`; from any thread."""
        self._cancelled.set()

    # --- what came of it ------------------------------------------------------------------------

    @property
    def reports(self) -> tuple[Report, ...]:
        """One report per caption; those of unfinished captions say ``interrupted``."""
        self._read()
        return tuple(
            row.builder.report(first_token=self._first_token, total=row.seconds)
            for row in self._rows
        )

    def header(self, row: int) -> Header:
        """What the report of a caption says before its first event."""
        return self._headers[row * len(self._headers) // max(len(self._rows), 1)]

    @property
    def texts(self) -> tuple[str, ...]:
        """The captions so far."""
        self._read()
        return tuple(row.caption.text for row in self._rows)

    @property
    def recent_patches(self) -> tuple[Tensor, ...]:
        """Attention to each image token in the latest steps: see :class:`AttentionTap`."""
        return self._tap.recent_patches

    # --- what generate tells us (the Listener of the pair) --------------------------------------

    def on_scores(self, input_ids: Tensor) -> None:
        """Read the forward pass that just ended."""
        self._check_call()
        if not self._rows:
            raise WatchError(
                "generate must be given both halves of the pair, but the streamer saw no prompt. "
                "Call generate(..., logits_processor=[watch.logits_processor], "
                "streamer=watch.streamer)."
            )
        expected = (len(self._rows), self._prompt.shape[1] + self._steps)
        if tuple(input_ids.shape) != expected:
            raise WatchError(
                f"Each step must add one token to each row: input_ids of step {self._steps} must "
                f"have shape {expected}, was {tuple(input_ids.shape)}. Beam search and assisted "
                "decoding cannot be watched."
            )
        self._pending.append(self._meter.measure())
        self._steps += 1

    def on_tokens(self, ids: Tensor) -> None:
        """The prompts first, then the tokens of each step."""
        self._check_call()
        if not self._rows:
            self._begin(ids)
            return
        if ids.ndim != 1 or len(ids) != len(self._rows):
            raise WatchError(
                f"Each step must bring one token for each of the {len(self._rows)} rows, brought "
                f"shape {tuple(ids.shape)}. A watch covers one call of generate, and assisted "
                f"decoding cannot be watched."
            )
        if not self._pending:
            raise WatchError(
                "generate must be given both halves of the pair, but no scores were seen. Call "
                "generate(..., logits_processor=[watch.logits_processor], "
                "streamer=watch.streamer)."
            )
        measured, now = self._meter.collect(self._pending.popleft(), ids), time.perf_counter()
        if self._first_token is None:
            self._first_token = now - self._began
        # While nobody listens, words and nouns are found for many tokens in one go: between two
        # steps of the model every line of Python costs several times what it costs in a loop.
        self._unread.append((ids.tolist(), measured, now))
        if self._on_event is not None or len(self._unread) >= _UNREAD or not measured.all_finite:
            self._read()

    def on_end(self) -> None:
        """End the captions that are still open."""
        self._read()
        self._now = time.perf_counter()
        for row in self._rows:
            if row.caption.ended:
                continue
            limit = self.options.limit
            cut = not row.held and (limit is None or row.caption.tokens >= limit)
            row.held.clear()
            self._finish(row, "length" if cut else "stopped")

    # --- the rows -------------------------------------------------------------------------------

    def _begin(self, ids: Tensor) -> None:
        prompt = self._prompt.cpu()
        copies, rest = divmod(len(ids), len(prompt))
        if rest or not torch.equal(ids, prompt.repeat_interleave(max(copies, 1), dim=0)):
            raise WatchError(
                f"generate must be given the very inputs that were given to watch: input_ids of "
                f"shape {tuple(prompt.shape)}, got {tuple(ids.shape)} with other ids. Beam search "
                f"and token healing, which change the prompt, cannot be watched."
            )
        self._began = time.perf_counter()
        self._rows = [
            _Row(self._caption(row), ReportBuilder(self._headers[row // copies], row=row))
            for row in range(len(ids))
        ]

    def _read(self) -> None:
        """Read the tokens that wait as text; in any thread, also in a listener's."""
        with self._lock:
            while self._unread:
                ids, measured, self._now = self._unread.popleft()
                for index, token in enumerate(ids):
                    self._token(index, token, measured)

    def _token(self, index: int, token: int, measured: Measurement) -> None:
        row, options = self._rows[index], self.options
        caption = row.caption
        if caption.ended:
            return  # generate fills a finished row with pad tokens
        if not measured.finite(index) and self._on_nonfinite == "raise":
            raise NonFiniteError(row=index, step=caption.tokens + len(row.held))
        evidence = measured.evidence(index)
        if token in options.eos:
            if token == options.pad and self._stopped_by_string(caption):
                self._finish(row, "stopped")
                return
            self._release(row)
            self._push(row, token, evidence, "eos")
        elif token == options.pad:
            # Either the row was stopped by a rule and this is filling, or the model wrote it:
            # the next other token, or the end, will tell.
            row.held.append((token, evidence))
        else:
            self._release(row)
            last = options.limit is not None and caption.tokens + 1 >= options.limit
            self._push(row, token, evidence, "length" if last else None)

    def _release(self, row: _Row) -> None:
        for token, evidence in row.held:
            self._push(row, token, evidence, None)
        row.held.clear()

    def _push(
        self,
        row: _Row,
        token: int,
        evidence: Evidence,
        end: Literal["eos", "length", "stopped"] | None,
    ) -> None:
        for event in row.caption.push(token, evidence, end=end):
            self._emit(row, event)

    def _finish(self, row: _Row, reason: Literal["eos", "length", "stopped"]) -> None:
        for event in row.caption.finish(reason):
            self._emit(row, event)

    def _emit(self, row: _Row, event: Event) -> None:
        row.builder.add(event)
        if isinstance(event, End):
            row.seconds = self._now - self._began
        if self._on_event is not None:
            self._on_event(event)

    def _stopped_by_string(self, caption: Caption) -> bool:
        return any(text in caption.text for text in self.options.stop_strings)

    # --- what can go wrong ----------------------------------------------------------------------

    def _check_call(self) -> None:
        if self._thread is None:
            raise WatchError("A watch must be entered first: with monitor.watch(inputs) as watch.")
        if threading.get_ident() != self._thread:
            raise WatchError(
                "generate must run in the thread that entered the watch, which is another one. "
                "Open the watch inside the thread, or use monitor.stream(), which has its own."
            )
        if self._cancelled.is_set():
            raise CancelledError("Generation was cancelled by its consumer.")

    def _explain(self, error: RuntimeError, pending: Sequence[PendingStep]) -> None:
        """Raise the clearer error if a step that never got its tokens had unusable logits."""
        for step in pending:
            try:
                broken = step.unusable()
            except RuntimeError:
                return  # the device itself is lost; what it said stands
            self._read()
            for index in broken:
                if not self._rows[index].caption.ended:
                    raise NonFiniteError(row=index, step=self._steps - 1) from error
