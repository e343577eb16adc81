"""A generation under a policy: what is flagged is taken back and written again, or left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar
from weakref import WeakMethod

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedModel

from ..attention.blocks import SpanMeter
from ..attention.lens import Lens
from ..attention.measurement import PendingStep, StepMeter
from ..attention.tap import AttentionTap
from ..decoding.forcing import DeadEndError
from ..decoding.options import DecodingOptions
from ..decoding.resumable import ResumableGeneration
from ..decoding.step import Step
from ..errors import CancelledError, NonFiniteError, OptionError, WatchError
from ..events import Event
from ..report import Header, Report
from ..watching.adapters import signed
from .blind import BlindBranch
from .draft import Draft, MakeCaption
from .manuscript import Manuscript
from .pages import Pages
from .policy import Policy
from .release import Release, Show
from .rewriting import Rewriting
from .steering import Steering

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Redecoding:
    """A context manager around one generation under a policy. Made by ``Monitor``.

    While nothing is flagged it is one call of ``generate`` with the tokens of plain ``generate``.
    What is flagged is settled as the policy says. In a batch only the flagged rows change: the
    others are decoded again with the tokens they had, bit for bit. A row that is stopped is
    written on behind the scenes until the others end, and cut in what is returned.

    What is raised while a span is decoded again gives the original back, flagged, with the error
    as the action's reason, and the caption goes on; an interrupt does the same and is raised on.

    Args:
        model: the model that decodes.
        tap: not open yet; with an intervention in it, at strength 0, if the policy has one.
        inputs: the processor's tensors.
        options: the other arguments of ``generate``.
        policy: what to do about flags.
        headers: one per prompt.
        caption: makes captions.
        full_stop: the token that ends a sentence anywhere, if the tokenizer has one.
        lens: not open yet, if the calibration reads it.
        blind: the model without the image, if the policy contrasts it with the model.
        on_nonfinite: ``raise``, or ``record``.
        on_event: called with every event.
        show: whether events come at once or when nothing of them will be taken back.

    Raises:
        OptionError: options under which nothing could be taken back; before anything is decoded.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        tap: AttentionTap,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        known: DecodingOptions,
        policy: Policy,
        headers: Sequence[Header],
        caption: MakeCaption,
        full_stop: int | None = None,
        lens: Lens | None = None,
        blind: BlindBranch | None = None,
        on_nonfinite: Literal["raise", "record"] = "raise",
        on_event: Callable[[Event], None] | None = None,
        show: Show = "hold",
    ) -> None:
        self.options = known
        mine = [*(options.get("logits_processor") or ()), _Reader(_unheld(self._on_scores))]
        self._generation = ResumableGeneration(
            model, inputs, {**options, "logits_processor": mine}, known=known
        )
        if not known.eos and (policy.act != "redecode" or policy.otherwise != "keep"):
            raise OptionError(
                "A policy that ends captions needs a token that ends them, eos_token_id is None. "
                "Give one, or use Policy(act='redecode', otherwise='keep')."
            )
        self._model = model
        self._tap = tap
        self._lens = lens
        self._meter = StepMeter(model, tap, lens)
        self._on_nonfinite = on_nonfinite
        self._on_event = on_event
        self._untold: BaseException | None = None
        prompt, tell = self._generation.prompt_length, _unheld(self._tell)
        pages = [
            Manuscript(
                Draft(row, caption),
                prompt=prompt,
                eos=known.eos,
                release=None if on_event is None else Release(row, show, tell),
            )
            for row in range(len(self._generation.sequences))
        ]
        self._pages = Pages(pages, headers, known)
        self._rows = [Rewriting(page, policy, full_stop=full_stop) for page in pages]
        self._steering = Steering(
            self._rows,
            prompt=prompt,
            copies=self._pages.copies,
            options=known,
            sampled=self._generation.sampled,
            tap=tap,
            blind=blind,
        )
        self._span: list[int] = []  # what the coming pass reads in one go
        self._pending: PendingStep | None = None
        self._stack = ExitStack()
        self._cancelled = threading.Event()

    # --- the block ------------------------------------------------------------------------------

    def __enter__(self) -> Redecoding:
        with ExitStack() as stack:
            stack.enter_context(self._tap)
            if self._lens is not None:
                stack.enter_context(self._lens)
            self._stack = stack.pop_all()
        self._meter.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._meter.__exit__(kind, error, trace)
        self._stack.close()

    def cancel(self) -> None:
        """Make the generation stop at its next step with ``CancelledError``; from any thread."""
        self._cancelled.set()

    # --- what came of it ------------------------------------------------------------------------

    @property
    def reports(self) -> tuple[Report, ...]:
        """One report per caption; those of unfinished captions say ``interrupted``."""
        return self._pages.reports

    def header(self, row: int) -> Header:
        """What the report of a caption says before its first event."""
        return self._pages.header(row)

    @property
    def texts(self) -> tuple[str, ...]:
        """The captions so far."""
        return self._pages.texts

    @property
    def output(self) -> Any:
        """What ``generate`` would have returned, cut where captions were stopped.

        Scores and the like of a stopped row describe what was written behind the scenes.
        """
        output: Any = self._generation.output
        if not self._pages.cut:
            return output
        length = self._generation.prompt_length
        prompt = self._generation.sequences[:, :length]
        if isinstance(output, Tensor):
            return self._pages.sequences(prompt, fewest=0)
        fewest = self._generation.length - length
        output.sequences = self._pages.sequences(prompt, fewest=fewest)
        return output

    # --- the loop -------------------------------------------------------------------------------

    def run(self) -> Any:
        """Decode all captions, and return what ``generate`` would have returned."""
        self._pages.began = time.perf_counter()
        force: Tensor | None = None
        while True:
            cuts: list[int | None] = []
            try:
                self._generation.advance(
                    self._on_step,
                    force=force,
                    bans=[ban for row in self._rows for ban in row.bans()],
                    before_pass=self._steering.guide,
                )
            except CancelledError:
                raise
            except DeadEndError as error:
                self._fresh_meter()
                if not self._rows[error.row].dead_end(error.position, self._raw(error.row)):
                    raise
            except Exception as error:
                cuts = [] if error is self._untold else self._give_back(error)
                if not cuts:
                    raise
            except BaseException as error:
                if error is not self._untold:
                    self._give_back(error)
                raise
            cuts += [row.attend(self._raw(place)) for place, row in enumerate(self._rows)]
            again = [cut for cut in cuts if cut is not None]
            for row in self._rows:
                row.show()
            if not again and all(row.page.draft.ended for row in self._rows):
                return self.output
            force = self._rewind(again)

    def _tell(self, event: Event) -> None:
        """Send an event; what its receiver raises is no fault of the decoding."""
        if self._on_event is not None:
            try:
                self._on_event(event)
            except BaseException as error:
                self._untold = error
                raise

    def _raw(self, place: int) -> list[int]:
        tokens: list[int] = self._generation.sequences[
            place, self._generation.prompt_length :
        ].tolist()
        return tokens

    def _on_scores(self, ids: Tensor, scores: Tensor) -> Tensor:
        if self._cancelled.is_set():
            raise CancelledError("Generation was cancelled by its consumer.")
        self._pending = self._meter.measure()
        return self._steering.scores(ids, scores, self._pending, self._meter)

    def _on_step(self, step: Step) -> bool:
        """Read what a step added; True where a row needs attention."""
        if self._pending is None:
            raise WatchError("A token came without a forward pass of the watched model.")
        pending, self._pending = self._pending, None
        if self._span:
            return self._read_span(pending, step)
        index = step.position - self._generation.prompt_length
        fresh = [
            (place, row)
            for place, row in enumerate(self._rows)
            if not row.page.draft.ended and index >= len(row.page.draft.tokens)
        ]
        if not fresh:
            return any(row.alert is not None for row in self._rows)
        ids = step.tokens.cpu()
        measured = pending.collect(ids)
        if self._pages.first_token is None:
            self._pages.first_token = time.perf_counter() - self._pages.began
        tokens, ended = ids.tolist(), step.ended.tolist()
        for place, row in fresh:
            if not measured.finite(place) and self._on_nonfinite == "raise":
                raise NonFiniteError(row=place, step=index)
            end = self._end(tokens[place], index) if ended[place] else None
            row.read(tokens[place], measured.evidence(place), end=end)
            row.show()
        return any(row.alert is not None for row in self._rows)

    def _end(self, token: int, index: int) -> Literal["eos", "length", "stopped"]:
        """Why a row ended with a token."""
        limit = self.options.limit
        cut = limit is not None and index + 1 >= limit
        return "eos" if token in self.options.eos else "length" if cut else "stopped"

    def _read_span(self, pending: PendingStep, step: Step) -> bool:
        """Read the tokens of a span that one pass predicted, up to one that needs attention."""
        (row,), span = self._rows, self._span
        measured = pending.collect(torch.tensor(span))
        self._fresh_meter()
        for place, token in enumerate(span):
            index = len(row.page.draft.tokens)
            if not measured.finite(place) and self._on_nonfinite == "raise":
                raise NonFiniteError(row=0, step=index)
            last = place == len(span) - 1 and bool(step.ended[0])
            end = self._end(token, index) if last else None
            row.read(token, measured.evidence(place), end=end)
            if row.alert is not None:
                break
        return True

    # --- back and forth -------------------------------------------------------------------------

    def _rewind(self, cuts: Sequence[int]) -> Tensor | None:
        """Take the generation back as far as any row needs it; what is known already is forced."""
        generation, prompt = self._generation, self._generation.prompt_length
        back = min([generation.length, *(prompt + tokens for tokens in cuts)])
        span = self._to_verify(back)
        if span:
            # In one pass: the last token is said again, the ones before are only read.
            generation.rollback(back + len(span) - 1)
            generation.reread(back)
            self._meter.__exit__(None, None, None)
            self._meter = SpanMeter(self._model, self._tap, rows=len(span))
            self._meter.__enter__()
            self._span = span
            return torch.tensor([span[-1:]], device=generation.sequences.device)
        generation.rollback(back)
        scripts = [row.script[back - prompt :] for row in self._rows]
        longest = max(map(len, scripts))
        if not longest:
            return None
        filled = [[*script, *[-1] * (longest - len(script))] for script in scripts]
        return torch.tensor(filled, dtype=torch.int64, device=generation.sequences.device)

    def _to_verify(self, back: int) -> list[int]:
        """The span to be judged without the intervention, where one pass may do that.

        A pass over several tokens differs from single steps in the last bits. So it is taken only
        where no other row must stay as it is, nobody asked for scores or logits, no pass runs
        compiled for one token, and the span does not begin the caption: the prompt is read whole.
        """
        (row, *others), prompt = self._rows, self._generation.prompt_length
        draft, known = row.page.draft, len(row.page.draft.tokens)
        cache = str(self.options.settings.get("cache_implementation"))
        plain = not self.options.returns_dict and "static" not in cache
        alone = not others and self._lens is None and plain
        if not alone or draft.ended or not known or back != prompt + known:
            return []
        span = row.script[known:]
        fits = len(span) > 1 and back + len(span) <= self._generation.length
        return span if fits else []

    # --- what can go wrong ----------------------------------------------------------------------

    def _give_back(self, error: BaseException) -> list[int | None]:
        """Put back the originals of all spans that are being decoded again; from where."""
        self._fresh_meter()
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        backs = [row.give_back(reason) for row in self._rows]
        return [back for back in backs if back is not None]

    def _fresh_meter(self) -> None:
        """A pass that broke off leaves half a measurement behind."""
        self._meter.__exit__(None, None, None)
        self._meter = StepMeter(self._model, self._tap, self._lens)
        self._meter.__enter__()
        self._pending, self._span = None, []


def _unheld(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """A bound method that does not hold what it is bound to, for parts of that very object.

    An object held by its own parts is freed only when the garbage collector comes by, and a
    generation has a cache of keys.
    """
    known = WeakMethod(method)

    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        found = known()
        assert found is not None, "Who decodes holds the generation."
        return found(*args, **kwargs)

    return call


class _Reader(LogitsProcessor):
    """Lets the owner read each step; the scores go on as they are, but for a contrast."""

    def __init__(self, read: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._read = read

    @signed
    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        return self._read(input_ids, scores)
