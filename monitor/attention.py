"""The tap: what the predicting row attends to, read while the model runs, changing nothing.

The model's own attention function computes every layer's output; the tap only recomputes the
last query row and reduces it at once to the mass on each segment. No map over all pairs of
positions is ever made, and nothing waits for the device inside a layer.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from . import interface
from .anatomy import Anatomy
from .errors import WatchError
from .frame import JOINED_BYTES, Frame
from .intervention import HeadGuided
from .rows import pick, sight
from .segments import Segments


@dataclass(frozen=True, slots=True, eq=False)
class StepAttention:
    """The attention of one forward pass.

    Attributes:
        layers: the decoder layers watched, counted from 0, ascending.
        masses: float32 on the model's device; ``[batch, layers, heads, segments]`` for the last
            query row, ``[batch, layers, heads, rows, segments]`` if the tap was given ``rows``.
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
        rows: which query rows to measure instead of the last: ``"all"``, or int64
            ``[batch, rows]`` positions in the sequence, all of which must be in the same single
            forward pass. For teacher forcing: one pass gives what decoding would have given.

    Raises:
        InputError: if ``image`` and ``prompt_mask`` disagree.
        ValueError: if a layer does not exist, or ``rows`` is combined with an intervention (Eq. 4
            acts on the last row only).
        WatchError: on entering, if a tap is already open in this context; in a forward pass, if
            the batch does not fit ``image``.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        image: Tensor,
        *,
        prompt_mask: Tensor | None = None,
        layers: Iterable[int] | None = None,
        patches: int = 0,
        intervention: HeadGuided | None = None,
        rows: Literal["all"] | Tensor | None = None,
    ) -> None:
        if patches < 0:
            raise ValueError(f"patches must be at least 0 steps, was: {patches}.")
        if rows is not None and intervention is not None:
            raise ValueError(
                "An intervention acts on the last query row of each pass: it cannot be combined "
                "with rows=."
            )
        self.layers = anatomy.known_layers(anatomy.layers if layers is None else layers)
        acting = anatomy.known_layers(intervention.layers) if intervention else ()
        modules = dict(zip(anatomy.layers, anatomy.attentions, strict=True))
        touched = {layer: modules[layer] for layer in sorted({*self.layers, *acting})}
        slots = {layer: slot for slot, layer in enumerate(self.layers)}
        self.intervention = intervention
        self._rows = rows
        self._decoder = anatomy.decoder
        self._modules = tuple(touched.values())
        # Per touched module: its row in the result (None if only acted on) and whether Eq. 4 acts.
        self._roles: Mapping[nn.Module, tuple[int | None, bool]] = {
            module: (slots.get(layer), layer in acting) for layer, module in touched.items()
        }
        self._segments = Segments(image, prompt_mask)
        self._recent: deque[Tensor] = deque(maxlen=patches)
        self._keep_patches = patches > 0
        self._listening = True
        self._cached: int | None = None
        self._start = 0
        self._frames: dict[tuple[object, ...], Frame] = {}
        self._read: list[int] = []  # watched layers of this pass, in the order they were read
        self._masses: list[Tensor] = []
        self._patches: list[Tensor] = []
        self._intervened = False
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
        self._forget_pass()

    def take(self) -> StepAttention:
        """The attention of the latest forward pass; each pass can be taken once.

        Raises:
            WatchError: if no pass was completed since the last call.
        """
        if len(self._read) != len(self.layers):
            raise WatchError(
                f"take() must follow a complete forward pass of the watched model in this thread; "
                f"{len(self._read)} of {len(self.layers)} watched layers ran since the last take()."
            )
        masses, patches = self._by_layer(self._masses), None
        if self._rows is None:
            masses = masses.squeeze(3)
        if self._patches:
            patches = self._by_layer(self._patches)
            if self._rows is None:
                patches = patches.squeeze(2)
            self._recent.append(patches)
        step = StepAttention(self.layers, masses, patches, self._intervened)
        self._forget_pass()
        return step

    @property
    def recent_patches(self) -> tuple[Tensor, ...]:
        """``patches`` of the latest steps taken, oldest first."""
        return tuple(self._recent)

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
        if module is self._modules[0]:
            self._begin_pass(query, key)
        slot, acting = self._roles[module]
        guide = self.intervention if acting else None
        if guide is not None and not guide.acts:
            guide = None
        if slot is not None or guide is not None:
            frame = self._frame(name, module, query, key, mask, options)
            seen = frame.sight.keys
            if seen != key.shape[2]:
                key, value = key[:, :, :seen], value[:, :, :seen]
            if frame.rows is not None:
                query = pick(query, frame.rows)
            elif self._rows is None and query.shape[2] > 1:
                query = query[:, :, -1:]
            with torch.no_grad() if torch.is_grad_enabled() else nullcontext():
                self._observe(frame, slot, guide, query, key, value, options.get("s_aux"), output)
        return output, weights

    def _observe(
        self,
        frame: Frame,
        slot: int | None,
        guide: HeadGuided | None,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        sinks: Tensor | None,
        output: Tensor,
    ) -> None:
        """Let the layer wait to be read with others of its kind, or read it now."""
        alone = guide is not None or sinks is not None
        if alone and frame.queries:
            self._read_waiting(frame)
        frame.queries.append(query)
        frame.keys.append(key)
        if slot is not None:
            frame.slots.append(slot)
        if guide is not None:
            strength = guide.strength(query.shape[0], query.device)
            weights = self._read_waiting(frame, sinks, strength)
            row = (
                weights[0]
                @ value.repeat_interleave(query.shape[1] // value.shape[1], dim=1).float()
            )
            guided = row[:, :, 0].to(output.dtype)
            output[:, -1] = torch.where(strength.ne(0), guided, output[:, -1])
            self._intervened = True
        elif alone or len(frame.keys) >= frame.room:
            self._read_waiting(frame, sinks)
        if slot == len(self.layers) - 1:
            for waiting in self._frames.values():
                if waiting.queries:
                    self._read_waiting(waiting)

    def _read_waiting(
        self, frame: Frame, sinks: Tensor | None = None, guide: Tensor | None = None
    ) -> Tensor:
        """Recompute the rows of the layers waiting in ``frame`` and keep what a step needs."""
        weights = frame.weights(sinks, guide)
        if frame.slots:
            self._read += frame.slots
            self._masses.append(frame.masses(weights))
            patches = frame.patches(weights)
            if patches is not None:
                self._patches.append(patches)
        frame.clear()
        return weights

    def _by_layer(self, parts: list[Tensor]) -> Tensor:
        """Parts ``[some layers, batch, ...]`` as ``[batch, layers, ...]``, layers ascending."""
        if len(parts) > 1:
            device = parts[0].device  # a model may be spread over several
            joined = torch.cat([part.to(device, non_blocking=True) for part in parts])
        else:
            joined = parts[0]
        if self._read != sorted(self._read):
            order = sorted(range(len(self._read)), key=self._read.__getitem__)
            joined = joined[torch.tensor(order, device=joined.device)]
        return joined.transpose(0, 1)

    def expect(self, decoder: nn.Module, cached: int) -> None:
        """Learn how many positions the coming pass of ``decoder`` finds in its cache.

        Keys alone do not tell: a sliding cache holds fewer, a static one has room for more.
        """
        if decoder is self._decoder:
            self._cached = cached

    def _begin_pass(self, query: Tensor, key: Tensor) -> None:
        self._forget_pass()
        length = query.shape[2]
        self._start = key.shape[2] - length if self._cached is None else self._cached
        self._cached = None
        self._segments.repeats(query.shape[0])

    def _forget_pass(self) -> None:
        self._frames.clear()
        self._read = []
        self._masses = []
        self._patches = []
        self._intervened = False

    def _frame(
        self,
        name: str,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        mask: object,
        options: dict[str, Any],
    ) -> Frame:
        window, scaling = options.get("sliding_window"), options.get("scaling")
        softcap = options.get("softcap")
        kind = (id(mask), query.shape, key.shape, key.device, window, scaling, softcap)
        frame = self._frames.get(kind)
        if frame is not None:
            return frame
        batch, keys, device = key.shape[0], key.shape[2], key.device
        total = self._start + query.shape[2]
        # A sliding window keeps the latest keys only; a static cache has room to spare.
        offset = max(total - keys, 0)
        table = self._segments.table(batch, offset + keys, device)[:, offset : offset + keys]
        rows = self._rows_of_pass(query)
        sees = sight(
            name,
            module,
            query,
            key,
            mask,
            options,
            start=self._start,
            segments=table,
            rows=rows,
        )
        index = exists = None
        if self._keep_patches:
            image = self._segments.image_index(batch, device)
            place = (image.positions - offset).unsqueeze(1)
            inside = image.exists.unsqueeze(1) & (place >= 0) & (place < sees.keys)
            index, exists = place.clamp(0, sees.keys - 1), inside.float()
        # All rows in order need no picking.
        picked = None if isinstance(self._rows, str) else rows
        room = JOINED_BYTES.get(device.type, 0) // (key.numel() * key.element_size())
        frame = Frame(
            sight=sees,
            segments=table[:, : sees.keys],
            rows=picked,
            patch_index=index,
            patch_exists=exists,
            scaling=scaling,
            softcap=softcap,
            room=room if self._rows is None else 1,
            mask=mask,
        )
        self._frames[kind] = frame
        return frame

    def _rows_of_pass(self, query: Tensor) -> Tensor | None:
        """The rows of interest, counted from the first query of this pass."""
        if self._rows is None:
            return None
        batch, _, length, _ = query.shape
        if isinstance(self._rows, str):
            return torch.arange(length, device=query.device).expand(batch, -1)
        rows = self._rows.to(query.device) - self._start
        if bool(((rows < 0) | (rows >= length)).any()):
            raise WatchError(
                f"rows must lie within the one forward pass that is watched, positions "
                f"{self._start}-{self._start + length - 1}, were: {int(self._rows.min())}-"
                f"{int(self._rows.max())}. Run the whole sequence in a single pass."
            )
        return rows.repeat_interleave(self._segments.repeats(batch), dim=0)


def _learn_cached(decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Forward pre-hook of the decoder. A plain function, so that a copied model copies no tap."""
    tap = interface.current()
    if isinstance(tap, AttentionTap) and "past_key_values" in kwargs:
        cache = kwargs["past_key_values"]
        tap.expect(decoder, 0 if cache is None else int(cache.get_seq_length()))
