"""One watched call of ``generate``: everything that is open while it runs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from ..attention.blocks import BlockMeter
from ..attention.deferred import DeferredTap
from ..attention.late import LateMeter
from ..attention.lens import Lens
from ..attention.measurement import PendingStep, StepMeter, UnreadStep
from ..attention.tap import AttentionTap
from ..decoding.options import DecodingOptions
from ..errors import CancelledError, NonFiniteError, OptionError, WatchError
from ..events import Event
from ..report import Header, Report
from .adapters import WatchingProcessor, WatchingStreamer
from .caption import Caption
from .scribe import Scribe


class Watch:
    """A context manager around one call of ``generate``. Made by ``Monitor.watch``.

    While it is open, the model's attention and logits are read in this thread; when it closes,
    whatever was raised, the model is as it was. ``generate`` must get both halves of the pair::

        with monitor.watch(inputs) as watch:
            model.generate(**inputs, logits_processor=[watch.logits_processor],
                           streamer=watch.streamer)
        print(watch.reports[0].to_json())

    Under greedy decoding and sampling each forward pass gives every row a token. Under assisted
    decoding (an assistant model, prompt lookup) a pass verifies several candidates of one row:
    each accepted token has the row that predicted it, and what was rejected leaves no trace. A
    :class:`.BeamWatch` watches beam search.

    Args:
        model: the model that ``generate`` is called on.
        tap: not open yet; a :class:`.DeferredTap` where tokens between two nouns may wait, which
            neither assisted decoding nor beam search can do with.
        prompt: int64 ``[batch, length]``, the ``input_ids`` that ``generate`` will get.
        length: positions of the sequence that is decoded on: those of ``prompt``, unless part of
            it is in a cache or comes as embeddings.
        options: what is known of the other arguments of ``generate``.
        headers: one per prompt.
        caption: makes the caption of a row.
        lens: not open yet, on the same layers as the tap; for internal confidence.
        on_nonfinite: what a row without a usable distribution does: ``raise``
            :class:`NonFiniteError`, or ``record`` it as a token without log-probability.
        on_event: called with every event, in order, in the thread of ``generate``.
        streamer: another streamer that is to see what ours sees.

    Raises:
        OptionError: a lens under assisted decoding.
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
        length: int | None = None,
        lens: Lens | None = None,
        on_nonfinite: Literal["raise", "record"] = "raise",
        on_event: Callable[[Event], None] | None = None,
        streamer: BaseStreamer | None = None,
    ) -> None:
        self.options = options
        self._also = streamer
        self._tap = tap
        self._lens = lens
        self._blocks: BlockMeter | None = None
        if options.mode == "assisted":
            if lens is not None:
                raise OptionError(
                    "The lens looks at one row of each pass, assisted decoding reads several. "
                    "Leave the assistant out, or use a monitor and a calibration without a lens."
                )
            known = prompt.shape[1] if length is None else length
            self._blocks = BlockMeter(model, tap, length=known)
        self._meter: StepMeter | LateMeter
        if isinstance(tap, DeferredTap):
            self._meter = LateMeter(model, tap, lens)
        else:
            self._meter = self._blocks or StepMeter(model, tap, lens)
        self._prompt = prompt
        self._scribe = Scribe(
            options=options,
            headers=headers,
            caption=caption,
            on_nonfinite=on_nonfinite,
            on_event=on_event,
        )
        self._explains = on_nonfinite == "raise"
        self._pending: deque[UnreadStep] = deque()
        self._steps = 0
        self._thread: int | None = None
        self._cancelled = threading.Event()
        self._stack = ExitStack()

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
        if isinstance(error, RuntimeError) and self._explains:
            # Sampling from NaN raises inside torch before the streamer learns of the step.
            self._explain(error, pending)

    def cancel(self) -> None:
        """Make ``generate`` stop at its next step with :class:`CancelledError`; from any thread."""
        self._cancelled.set()

    def plug_into(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of ``generate`` with all parts of this watch put in, after the user's own.

        Args:
            arguments: what ``generate`` would be called with, but for a ``streamer``.
        """
        given = dict(arguments)
        processors = [*(given.pop("logits_processor", None) or ()), self.logits_processor]
        return {**given, "logits_processor": processors, "streamer": self.streamer}

    def finish(self, output: Any) -> Any:
        """What the call with :meth:`plug_into`'s arguments returned, as the user asked for it."""
        return output

    # Made anew: a watch that kept what plugs into generate, and is kept by it, would be freed, with
    # all it has read, only when the garbage collector comes by: after many captions, as a rule.

    @property
    def logits_processor(self) -> WatchingProcessor:
        """One half of the pair: what ``generate`` takes among its logits processors."""
        return WatchingProcessor(self)

    @property
    def streamer(self) -> WatchingStreamer:
        """The other half: what ``generate`` takes as its streamer."""
        return WatchingStreamer(self, also=self._also)

    # --- what came of it ------------------------------------------------------------------------

    @property
    def reports(self) -> tuple[Report, ...]:
        """One report per caption; those of unfinished captions say ``interrupted``."""
        return self._scribe.reports

    def header(self, row: int) -> Header:
        """What the report of a caption says before its first event."""
        return self._scribe.header(row)

    @property
    def texts(self) -> tuple[str, ...]:
        """The captions so far."""
        return self._scribe.texts

    @property
    def recent_patches(self) -> tuple[Tensor, ...]:
        """Attention to each image token in the latest steps: see :class:`AttentionTap`."""
        return self._tap.recent_patches if self._blocks is None else self._blocks.recent_patches

    # --- what generate tells us (the Listener of the pair) --------------------------------------

    def on_scores(self, input_ids: Tensor) -> None:
        """Read the forward pass that just ended."""
        self._check_call()
        if not len(self._scribe):
            raise WatchError(
                "generate must be given both halves of the pair, but the streamer saw no prompt. "
                "Call generate(..., logits_processor=[watch.logits_processor], "
                "streamer=watch.streamer). Beam search takes no streamer: tell the watch of it, "
                "monitor.watch(inputs, num_beams=...)."
            )
        if self._blocks is not None:
            # The processors are called for each row of the pass, and for what an assistant drafts.
            if self._blocks.unread:
                self._pending.append(self._blocks.measure())
                self._steps += 1
            return
        self._check_shape(input_ids, len(self._scribe))
        self._pending.append(self._meter.measure())
        self._steps += 1

    def on_tokens(self, ids: Tensor) -> None:
        """The prompts first, then the tokens of each step."""
        self._check_call()
        if not len(self._scribe):
            self._begin(ids)
            return
        rows = len(self._scribe)
        block = self._blocks is not None and ids.ndim == 2 and ids.shape[0] == 1 and ids.shape[1]
        if not block and (ids.ndim != 1 or len(ids) != rows):
            raise WatchError(
                f"Each step must bring one token for each of the {rows} rows, brought shape "
                f"{tuple(ids.shape)}. A watch covers one call of generate, and must be told of "
                f"assisted decoding: monitor.watch(inputs, assistant_model=...)."
            )
        if not self._pending:
            raise WatchError(
                "generate must be given both halves of the pair, but no scores were seen. Call "
                "generate(..., logits_processor=[watch.logits_processor], "
                "streamer=watch.streamer)."
            )
        step = self._pending.popleft()
        if self._blocks is None or not block:
            self._scribe.put(ids.tolist(), step.collect(ids))
            return
        assert isinstance(step, PendingStep)
        for token, measured in zip(ids[0].tolist(), self._blocks.accept(step, ids[0]), strict=True):
            self._scribe.put([token], measured)

    def on_end(self) -> None:
        """End the captions that are still open."""
        if isinstance(self._meter, LateMeter):
            self._meter.read()  # all rows at once, before each asks for its own
        self._scribe.end()

    # --- the call -------------------------------------------------------------------------------

    def _begin(self, ids: Tensor) -> None:
        copies = self._copies(ids)
        if copies > 1 and self._blocks is not None:
            raise WatchError("Assisted decoding decodes one sequence at a time.")
        self._scribe.begin(len(ids), began=time.perf_counter())

    def _copies(self, ids: Tensor) -> int:
        """How many rows each prompt has, in the order of the prompts."""
        prompt = self._prompt.cpu()
        copies, rest = divmod(len(ids), len(prompt))
        if rest or not torch.equal(ids.cpu(), prompt.repeat_interleave(max(copies, 1), dim=0)):
            raise WatchError(
                f"generate must be given the very inputs that were given to watch: input_ids of "
                f"shape {tuple(prompt.shape)}, got {tuple(ids.shape)} with other ids. Beam search "
                f"must be announced to the watch, and token healing, which changes the prompt, "
                f"cannot be watched."
            )
        return copies

    def _check_shape(self, input_ids: Tensor, rows: int) -> None:
        expected = (rows, self._prompt.shape[1] + self._steps)
        if tuple(input_ids.shape) != expected:
            raise WatchError(
                f"Each step must add one token to each row: input_ids of step {self._steps} must "
                f"have shape {expected}, was {tuple(input_ids.shape)}. Beam search and assisted "
                f"decoding must be announced: monitor.watch(inputs, num_beams=...)."
            )

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

    def _explain(self, error: RuntimeError, pending: Sequence[UnreadStep]) -> None:
        """Raise the clearer error if a step that never got its tokens had unusable logits."""
        for step in pending:
            try:
                broken = step.unusable()
            except RuntimeError:
                return  # the device itself is lost; what it said stands
            self._scribe.read()
            for index in broken:
                row = 0 if self._blocks is not None else index
                if not self._scribe.ended(row):
                    raise NonFiniteError(row=row, step=self._steps - 1) from error
