"""The tap: what the predicting row attends to, read while the model runs, changing nothing.

The model's own attention function computes every layer's output; the tap only recomputes the
last query row and reduces it at once to the mass on each segment. No map over all pairs of
positions is ever made, and nothing waits for the device inside a layer.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WatchError
from ..models.anatomy import Anatomy
from . import compiled, interface
from .cached import Cached
from .call import Call
from .intervention import HeadGuided
from .reading import Reading, Rows
from .segments import Segments
from .step import StepAttention
from .watcher import Attention, Watcher, activate, current, deactivate


class AttentionTap:
    """Watch a model's attention while it runs in this thread (this ``contextvars`` context).

    Example::

        with AttentionTap(anatomy, anatomy.image_positions(ids), prompt_mask=mask) as tap:
            model(**inputs)
            step = tap.take()

    Inside ``generate``, take a step from a logits processor: once per token, after the forward
    pass that predicts it. Leaving the block puts the model back as it was found, whatever is
    raised. Several threads may watch one model at once, each with its own tap.

    Args:
        anatomy: where the model keeps its parts.
        image: bool ``[batch, prompt]``, True on image tokens; everything past it counts as
            generated. A forward pass may have a multiple of ``batch`` rows (beams, several
            samples per prompt).
        prompt_mask: ``[batch, prompt]``, 0 on padding; ``None`` if nothing is padded.
        layers: decoder layers to watch, counted from 0; all by default.
        patches: for how many of the latest steps to keep the attention to each image token.
        intervention: Eq. 4, in its own layers.
        rows: which query rows to measure instead of the last: a number, the last so many of each
            pass (all, if it has fewer); ``"all"``; or int64 ``[batch, rows]`` positions in the
            sequence, all of which must be in the same single forward pass. One pass over several
            tokens, read so, gives what decoding them one by one would have given. May be set anew
            between passes.

    Raises:
        InputError: if ``image`` and ``prompt_mask`` disagree.
        ValueError: if a layer does not exist, ``rows`` is less than 1, or rows of any place are
            combined with an intervention (Eq. 4 acts on the last row only).
        WatchError: on entering, if a tap is already open in this context; in a forward pass, if
            the batch does not fit ``image``, or Eq. 4 acts in a pass of which several rows are
            measured.
    """

    _hold = False  # see Reading

    def __init__(
        self,
        anatomy: Anatomy,
        image: Tensor,
        *,
        prompt_mask: Tensor | None = None,
        layers: Iterable[int] | None = None,
        patches: int = 0,
        intervention: HeadGuided | None = None,
        rows: Rows = None,
    ) -> None:
        if patches < 0:
            raise ValueError(f"patches must be at least 0 steps, was: {patches}.")
        self.layers = anatomy.known_layers(anatomy.layers if layers is None else layers)
        acting = anatomy.known_layers(intervention.layers) if intervention else ()
        modules = dict(zip(anatomy.layers, anatomy.attentions, strict=True))
        touched = {layer: modules[layer] for layer in sorted({*self.layers, *acting})}
        slots = {layer: slot for slot, layer in enumerate(self.layers)}
        self.intervention = intervention
        self.rows = rows
        self.on_logits: Callable[[Tensor], None] | None = None
        self._decoder = anatomy.decoder
        self._modules = tuple(touched.values())
        # Per touched module: its row in the result (None if only acted on) and whether Eq. 4 acts.
        self._roles: Mapping[nn.Module, tuple[int | None, bool]] = {
            module: (slots.get(layer), layer in acting) for layer, module in touched.items()
        }
        self._segments = Segments(image, prompt_mask)
        self._recent: deque[Tensor] = deque(maxlen=patches)
        self._listening = True
        self._cached = Cached(self._modules)
        self._model = anatomy.model
        self._numbers = {id(module): module for module in self._modules}
        self._reading: Reading | None = None
        self._token: contextvars.Token[Watcher | None] | None = None
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> AttentionTap:
        self._listening = True
        self._token = activate(self)
        try:
            interface.attach(self._modules)
        except BaseException:
            deactivate(self._token)
            raise
        self._hooks = [
            self._decoder.register_forward_pre_hook(_learn_cached, with_kwargs=True),
            self._model.register_forward_hook(compiled.note_logits),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._token is not None
        self._listening = False
        for hook in self._hooks:
            hook.remove()
        interface.detach(self._modules)
        deactivate(self._token)
        self._cached.forget()
        self._reading = self.on_logits = None

    def take(self) -> StepAttention:
        """The attention of the latest forward pass; each pass can be taken once.

        Raises:
            WatchError: if no pass was completed since the last call.
        """
        reading = self._latest()
        masses, patches = reading.finish()
        if patches is not None:
            self._recent.append(patches)
        return StepAttention(self.layers, masses, patches, reading.intervened)

    @property
    def recent_patches(self) -> tuple[Tensor, ...]:
        """``patches`` of the latest steps taken, oldest first."""
        return tuple(self._recent)

    @property
    def rows(self) -> Rows:
        """Which query rows of the coming passes are measured; ``None`` for the last alone."""
        return self._rows

    @rows.setter
    def rows(self, rows: Rows) -> None:
        if isinstance(rows, int) and rows < 1:
            raise ValueError(f"rows must be at least 1, was: {rows}.")
        if isinstance(rows, (str, Tensor)) and self.intervention is not None:
            raise ValueError(
                "An intervention acts on the last query row of each pass: it cannot be combined "
                "with rows= other than a number."
            )
        self._rows: Rows = rows

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let passes go by unread: those that are not a step of the watched sequences.

        A branch that does not see the image, a draft or a second model of one's own in the same
        thread runs as if there were no tap, and another tap may be open meanwhile. The step before
        can still be taken afterwards.
        """
        before, self._listening = self._listening, False
        try:
            yield
        finally:
            self._listening = before

    @property
    def listening(self) -> bool:
        """Whether the tap is open and the model's own attention function is not running."""
        return self._listening

    def watches(self, module: nn.Module) -> bool:
        """Whether ``module`` is one of the attention modules watched or acted on."""
        return module in self._roles

    def attend(
        self,
        own: Attention,
        name: str,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: object,
        options: dict[str, Any],
    ) -> tuple[Tensor, Tensor | None]:
        """The model's own attention, read on the way; called by the watched modules."""
        self._listening = False  # the model's own function must see the model's own config
        try:
            output, weights = own(module, query, key, value, mask, **options)
        finally:
            self._listening = True
        self._observe(Call(name, module, query, key, value, mask, options, output))
        return output, weights

    def saw(
        self,
        number: int,
        name: str,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        options: dict[str, Any],
        output: Tensor,
    ) -> None:
        """A layer of a compiled graph ran; called by the operator that the graph carries."""
        module = self._numbers.get(number)
        if module is None:
            return
        if name == "flex_attention":
            raise WatchError(
                "FlexAttention's mask is a function, which a compiled graph takes in and does not "
                "tell. Watch with attn_implementation='sdpa', or pass disable_compile=True."
            )
        if module is self._modules[0]:
            self._cached.again()
        call = Call(name, module, query, key, value, mask, options, output, fleeting=True)
        self._observe(call)

    def said(self, logits: Tensor) -> None:
        """A compiled graph of the whole model ended; called by the operator that it carries."""
        if self.on_logits is not None:
            self.on_logits(logits)

    def expect(self, decoder: nn.Module, cache: Any) -> None:
        """Learn how many positions the coming pass of ``decoder`` finds in its cache."""
        if decoder is self._decoder and self._listening:
            self._cached.expect(cache)

    def _latest(self) -> Reading:
        """The latest pass, once."""
        reading = self._reading
        if reading is None or not reading.complete:
            raise WatchError(
                f"take() must follow a complete forward pass of the watched model in this thread; "
                f"{reading.seen if reading else 0} of {len(self.layers)} watched layers ran "
                f"since the last take()."
            )
        self._reading = None
        return reading

    def _observe(self, call: Call) -> None:
        reading, module = self._reading, call.module
        if reading is None or module is self._modules[0]:
            reading = self._begin_pass(call)
        slot, acting = self._roles[module]
        guide = self.intervention if acting else None
        if guide is not None and not guide.acts:
            guide = None
        if slot is not None or guide is not None:
            reading.observe(call, slot, guide)

    def _begin_pass(self, call: Call) -> Reading:
        start = self._cached.start(call)
        self._segments.repeats(call.query.shape[0])
        self._reading = Reading(
            self._segments,
            watched=len(self.layers),
            rows=self._rows,
            patches=self._recent.maxlen != 0,
            start=start,
            length=call.query.shape[2],
            hold=self._hold,
        )
        return self._reading


def _learn_cached(decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Forward pre-hook of the decoder. A plain function, so that a copied model copies no tap."""
    if torch.compiler.is_dynamo_compiling():
        return
    tap = current()
    if isinstance(tap, AttentionTap) and "past_key_values" in kwargs:
        tap.expect(decoder, kwargs["past_key_values"])
