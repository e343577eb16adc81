"""A generation that can be paused, cut back and resumed, through ``generate`` alone.

Each segment is one call of the model's own ``generate``. The first runs until it is paused, by a
stopping criterion; each later one goes on from the cache, cut back as far as was asked for. Every
option of ``generate`` keeps its meaning for the whole, and a generation that is never cut back
has the tokens, logits and scores of a plain call, bit for bit.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.generation.utils import GenerateDecoderOnlyOutput

from .continuation import Continuation
from .draws import Draws
from .finishing import OPEN, Finishing
from .forcing import Ban, Forcing, check_bans, check_force
from .options import DecodingOptions
from .records import Records
from .rollback import RewindableCache, RollbackError
from .step import Gate, Step


class ResumableGeneration:
    """One generation, in as many calls of ``generate`` as it takes.

    Example::

        generation = ResumableGeneration(model, inputs, {"max_new_tokens": 64})
        while generation.advance(pause=lambda step: suspicious(step.tokens)) == "paused":
            tail = generation.rollback(generation.length - 4)
            forced = tail.masked_fill(flagged[:, None], -1)  # the other rows say what they said
            generation.advance(pause=respan, force=forced, bans=[Ban(0, {token}, start, stop)])
        captions = generation.sequences[:, generation.prompt_length:]

    The order within a step: ``before_pass`` (set an intervention's strength here), the forward
    pass, the processors of ``generate``, the user's processors, the bans, what is forced, under
    sampling temperature and the like, the token, the stopping rules, ``pause``. A tap or a lens
    may stay open around all segments; a user's processor that reads them is called once a step.

    **Rollback.** What is decoded again without any change comes out the same, bit for bit: the
    rows keep their batch, and go one token at a time as they did. Back at the prompt, the prompt
    is read anew, pictures included, because a single row of it would be computed otherwise.
    Processors and criteria of the user's that keep a state of their own must know from
    ``input_ids`` that they were taken back.

    **Sampling.** Each position has its place in the stream of the global generator of the device,
    which stands where a plain call would leave it: resumed or decoded again, a position draws the
    same numbers. ``rollback(..., seed=)`` draws others.

    **Records.** With ``return_dict_in_generate``, ``scores`` of a forced token are those before it
    was forced and before temperature and the like; ``logits`` are those of the pass that the cache
    comes from. A user's stopping criterion gets the scores of the whole generation.

    Args:
        model: the model that decodes; left as found whatever is raised.
        inputs: the processor's tensors.
        options: the other arguments of ``generate``.
        known: what was read of these very options, by who has done so already.

    Raises:
        InputError: there are no ``input_ids``.
        OptionError: an option, a cache or a model that cannot be rolled back.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        *,
        known: DecodingOptions | None = None,
    ) -> None:
        self._model = model
        self._calls = Continuation(model, inputs, options, known=known)
        prompt = self._calls.prompt
        self._ids = prompt
        self._processors = tuple(options.get("logits_processor") or ())
        self._forcing = Forcing(keep=bool(self._calls.config.output_scores))
        self._rules = Finishing(
            self._calls.config,
            own=tuple(options.get("stopping_criteria") or ()),
            end=self._calls.end,
            tokenizer=options.get("tokenizer"),
            rows=len(prompt),
            device=prompt.device,
            began=time.time(),
        )
        self._ended = self._rules.ended(prompt.shape[1])
        self._draws = Draws(
            prompt.device, first=prompt.shape[1], active=bool(self._calls.config.do_sample)
        )
        self._cache: RewindableCache | None = None
        self._unread = OPEN  # the length from which the next pass reads more than the last token
        self._records = Records(self._calls.config, first=prompt.shape[1])
        self._pause: Callable[[Step], bool] = _never
        self._before_pass: Callable[[Tensor], None] | None = None
        self._paused = False
        self._running = False

    # --- where it is ----------------------------------------------------------------------------

    @property
    def prompt_length(self) -> int:
        """Tokens of the padded prompt."""
        return self._calls.prompt.shape[1]

    @property
    def length(self) -> int:
        """Tokens of each row so far, prompt and filling included."""
        return self._ids.shape[1]

    @property
    def sampled(self) -> bool:
        """Whether tokens are drawn; if not, the highest score is picked."""
        return bool(self._calls.config.do_sample)

    @property
    def sequences(self) -> Tensor:
        """Int64 ``[rows, length]``: all completed steps, also after an exception."""
        return self._ids

    @property
    def ended(self) -> Tensor:
        """Bool ``[rows]``: the rows that ended by a rule of ``generate``."""
        return self._ended

    @property
    def output(self) -> Tensor | GenerateDecoderOnlyOutput:
        """What a plain call of ``generate`` would have returned.

        Raises:
            RollbackError: a segment broke off, and with it what it recorded.
        """
        if not self._calls.config.return_dict_in_generate:
            return self._ids
        self._records.check(self.length)
        return GenerateDecoderOnlyOutput(
            sequences=cast(torch.LongTensor, self._ids),
            past_key_values=None if self._cache is None else self._cache.cache,
            **self._records.as_output(),
        )

    # --- forward and back -----------------------------------------------------------------------

    def advance(
        self,
        pause: Callable[[Step], bool] | None = None,
        *,
        force: Tensor | None = None,
        bans: Iterable[Ban] = (),
        before_pass: Callable[[Tensor], None] | None = None,
    ) -> Literal["paused", "ended"]:
        """Decode until ``pause`` says so, or until every row has ended by the rules.

        Args:
            pause: called after each step; True pauses there.
            force: int64 ``[rows, n]``, what the next ``n`` tokens must be, -1 where a row is free.
                What a pause leaves of it holds on, until other tokens are given.
            bans: tokens that rows may not have; for this call. A forced token wins over them.
            before_pass: called with the ids ``[rows, length]`` before each forward pass that
                predicts their next token; also once the last row has ended, without a pass.

        Returns:
            ``ended`` if every row has ended, whether or not ``pause`` was true too.

        Raises:
            ValueError: ``force`` or ``bans`` do not fit the batch.
            DeadEndError: bans left a row without any token to pick.
            RollbackError: a segment broke off that had something to record: roll back first; or
                the model hands generation on to another one.
        """
        if self._running:
            raise RollbackError("advance() must not be called from its own callbacks.")
        self._records.check(self.length)
        if force is not None:
            check_force(force, rows=len(self._ids), room=self._calls.end - self.length)
            self._forcing.force(force.to(self._ids.device), start=self.length)
        self._forcing.bans = check_bans(bans, rows=len(self._ids))
        if bool(self.ended.all()):
            return "ended"
        self._pause = pause or _never
        self._before_pass = before_pass
        self._paused = False
        self._running = True
        try:
            output = self._generate()
        finally:
            self._running = False
            self._pause, self._before_pass = _never, None
        if self._cache is None:
            self.rollback(self.prompt_length)
            raise RollbackError(
                f"{type(self._model).__name__}.generate() must run the model itself to be "
                f"resumable, but runs another one inside. Build the generation on that one."
            )
        self._records.add(output, length=self.length, replaced=self._forcing.replaced)
        return "ended" if bool(self.ended.all()) else "paused"

    def rollback(self, length: int, *, seed: int | None = None) -> Tensor:
        """Keep the first ``length`` tokens of every row; rows that ended later live again.

        Args:
            length: at least the prompt's, at most the present one.
            seed: under sampling, draw other numbers from here on.

        Returns:
            Int64 ``[rows, n]``: what was cut off, for ``advance(force=...)``; -1 past a row's end.

        Raises:
            ValueError: there is no such length.
        """
        if self._running:
            raise RollbackError("rollback() must not be called from advance()'s callbacks.")
        if not self.prompt_length <= length <= self.length:
            raise ValueError(
                f"length must be between the prompt's {self.prompt_length} and the present "
                f"{self.length}, was: {length}."
            )
        tail = self._tail(length)
        self._forcing.force(None, start=length)
        self._ids = self._ids[:, :length]
        self._rules.cut(length)
        self._ended = self._rules.ended(length)
        self._draws.cut(length, seed=seed)
        self._records.cut(length)
        if length == self.prompt_length:
            self._cache, self._unread = None, OPEN
        elif self._cache is not None:
            self._cache.crop(min(self._unread, length) - 1)
        return tail

    def reread(self, length: int) -> None:
        """Let the next pass read the rows anew from where they were ``length`` long, all at once.

        The tokens stay; what the cache holds of them becomes what that pass computes: with the
        intervention off, a clean cache at the price of one pass. It is clean up to rounding: a
        pass over several tokens differs from single steps in the last bits. To be exact, roll
        back and force the tokens.

        Args:
            length: more than the prompt's, at most the present one.

        Raises:
            ValueError: there is no such length.
        """
        if not self.prompt_length < length <= self.length:
            raise ValueError(
                f"length must be above the prompt's {self.prompt_length} and at most the present "
                f"{self.length}, was: {length}. Roll back to read the prompt anew."
            )
        self._unread = min(self._unread, length)

    def _tail(self, length: int) -> Tensor:
        """Ids past ``length`` and, where some were still to be forced, those too."""
        parts = [self._ids[:, length:]]
        pending = self._forcing.pending(self.length)
        if pending is not None:
            parts.append(pending)
        tail = torch.cat(parts, dim=1)
        places = torch.arange(length, length + tail.shape[1], device=tail.device)
        return tail.masked_fill(places >= self._rules.lengths[:, None], -1)

    # --- one call of generate -------------------------------------------------------------------

    def _generate(self) -> GenerateDecoderOnlyOutput:
        length, read = self.length, 1
        if self._cache is not None:
            cached = min(self._unread, length) - 1
            self._cache.crop(cached)
            read = length - cached
            self._cache.prepare(read)
        self._forcing.replaced.clear()
        self._forcing.fill = None
        ended = self.ended
        pad = self._calls.known.pad
        if self._rules.pads and pad is not None and bool(ended.any()):
            # generate starts with every row alive, and learns after the first token.
            free = torch.full_like(self._rules.lengths, -1)
            self._forcing.fill = (length, free.masked_fill(ended, pad))
        if self._before_pass is not None:
            self._before_pass(self._ids)
        self._draws.enter(length)
        cache = None if self._cache is None else self._cache.cache
        arguments = self._calls.arguments(self._ids, cache)
        if read > 1 and "logits_to_keep" in inspect.signature(self._model.forward).parameters:
            arguments["logits_to_keep"] = read  # who reads a span anew may want all it predicts
        model: Any = self._model
        # Made anew: kept, it would hold its owner, cache and all, until garbage is collected.
        gate = Gate(self._after_token, pads=self._rules.pads)
        with self._first_pass():
            output: GenerateDecoderOnlyOutput = model.generate(
                **arguments,
                logits_processor=[*self._processors, self._forcing],
                stopping_criteria=[*self._rules.handed, gate],
            )
        return output

    def _after_token(self, ids: Tensor, scores: tuple[Tensor, ...] | None) -> Tensor:
        """The stopping criterion: the rules, the owner's wish, the owner's preparations."""
        if self._paused:  # where stopping is noticed a step late
            return torch.ones(len(ids), dtype=torch.bool, device=ids.device)
        length = ids.shape[1]
        if scores:
            scores = (*self._records.scores, *scores)
        filling, ended = self._ended, self._rules.judge(ids, scores)
        self._ids, self._ended, self._unread = ids, ended, OPEN
        self._draws.enter(length)
        if self._pause(Step(ids, filling, ended)):
            self._paused = True
            return torch.ones_like(ended)
        if self._before_pass is not None:
            self._before_pass(ids)
        if self._cache is not None:
            self._cache.prepare()
        self._draws.enter(length)
        return ended

    @contextmanager
    def _first_pass(self) -> Iterator[None]:
        """Get hold of the cache and the positions as soon as the prompt has been read."""
        if self._cache is not None:
            yield
            return
        thread = threading.get_ident()
        text: Any = self._model.config.get_text_config(decoder=True)
        apart = getattr(text, "cross_attention_layers", None) or ()

        def keep(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            if threading.get_ident() != thread or self._cache is not None:
                return
            positions = kwargs.get("position_ids")
            if isinstance(positions, Tensor) and positions.ndim == 3:
                self._calls.positions = positions
            self._cache = RewindableCache(output.past_key_values, apart=apart)

        hook = self._model.register_forward_hook(keep, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()


def _never(step: Step) -> bool:
    return False
