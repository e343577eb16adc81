"""The tap: what the predicting row attends to, read while the model runs, changing nothing.

The model's own attention function computes every layer's output; the tap only recomputes the
last query row and reduces it at once to the mass on each segment. No map over all pairs of
positions is ever made, and nothing waits for the device inside a layer.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WatchError
from ..models.anatomy import Anatomy
from . import interface
from .intervention import HeadGuided
from .reading import Call, Reading, Rows
from .segments import Segments


@dataclass(frozen=True, slots=True, eq=False)
class StepAttention:
    """The attention of one forward pass.

    Attributes:
        layers: the decoder layers watched, counted from 0, ascending.
        masses: float32 on the model's device; ``[batch, layers, heads, segments]`` for the last
            query row, ``[batch, layers, heads, rows, segments]`` if the tap has ``rows``.
            Probability mass on each of :data:`~sightline.detectors.evidence.SEGMENTS`.
        patches: float32 ``[batch, layers, image tokens]`` (``[batch, layers, rows, image
            tokens]``), mean over heads of the attention to each image token in order of position,
            0 past a row's last image token; ``None`` unless the tap keeps patches.
        intervened: whether Eq. 4 acted in this pass. Its masses must not be judged then: they
            describe the attention after it was inflated.
    """

    layers: tuple[int, ...]
    masses: Tensor
    patches: Tensor | None
    intervened: bool

    def by_row(self) -> tuple[StepAttention, ...]:
        """One step per query row, in order, as if each had been a pass of its own."""
        if self.masses.ndim == 4:
            return (self,)
        masses = self.masses.unbind(3)
        none = (None,) * len(masses)
        patches = none if self.patches is None else self.patches.unbind(2)
        return tuple(
            StepAttention(self.layers, mass, patch, self.intervened)
            for mass, patch in zip(masses, patches, strict=True)
        )


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
        self._decoder = anatomy.decoder
        self._modules = tuple(touched.values())
        # Per touched module: its row in the result (None if only acted on) and whether Eq. 4 acts.
        self._roles: Mapping[nn.Module, tuple[int | None, bool]] = {
            module: (slots.get(layer), layer in acting) for layer, module in touched.items()
        }
        self._segments = Segments(image, prompt_mask)
        self._recent: deque[Tensor] = deque(maxlen=patches)
        self._listening = True
        self._cached: int | None = None
        self._reading: Reading | None = None
        self._token: contextvars.Token[interface.Watcher | None] | None = None
        self._hook: torch.utils.hooks.RemovableHandle | None = None

    def __enter__(self) -> AttentionTap:
        self._listening = True
        self._token = interface.activate(self)
        try:
            interface.attach(self._modules)
        except BaseException:
            interface.deactivate(self._token)
            raise
        self._hook = self._decoder.register_forward_pre_hook(_learn_cached, with_kwargs=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._token is not None
        assert self._hook is not None
        self._listening = False
        self._hook.remove()
        interface.detach(self._modules)
        interface.deactivate(self._token)
        self._reading = None

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
        own: interface.Attention,
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
        reading = self._reading
        if reading is None or module is self._modules[0]:
            reading = self._begin_pass(query, key)
        slot, acting = self._roles[module]
        guide = self.intervention if acting else None
        if guide is not None and not guide.acts:
            guide = None
        if slot is not None or guide is not None:
            call = Call(name, module, query, key, value, mask, options, output)
            reading.observe(call, slot, guide)
        return output, weights

    def expect(self, decoder: nn.Module, cache: Any) -> None:
        """Learn how many positions the coming pass of ``decoder`` finds in its cache.

        Keys alone do not tell: a sliding cache holds fewer, a static one has room for more.
        """
        if decoder is self._decoder and self._listening:
            self._cached = 0 if cache is None else int(cache.get_seq_length())

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

    def _begin_pass(self, query: Tensor, key: Tensor) -> Reading:
        length, cached = query.shape[2], self._cached
        self._cached = None
        self._segments.repeats(query.shape[0])
        self._reading = Reading(
            self._segments,
            watched=len(self.layers),
            rows=self._rows,
            patches=self._recent.maxlen != 0,
            start=key.shape[2] - length if cached is None else cached,
            length=length,
            hold=self._hold,
        )
        return self._reading


def _learn_cached(decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Forward pre-hook of the decoder. A plain function, so that a copied model copies no tap."""
    tap = interface.current()
    if isinstance(tap, AttentionTap) and "past_key_values" in kwargs:
        tap.expect(decoder, kwargs["past_key_values"])
