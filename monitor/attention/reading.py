"""One forward pass as the tap reads it: layer after layer in, one step out."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ..errors import WatchError
from .call import Call
from .frame import JOINED_BYTES, Frame, alike, kind_of
from .intervention import HeadGuided
from .parts import Parts
from .postponed import Postponed
from .rows import by_mask, pick, sight, sinks_of
from .segments import Segments

Rows = Literal["all"] | int | Tensor | None
"""Query rows to measure: all of a pass, the last few, int64 ``[batch, rows]`` positions, or the
last alone (None)."""


class Reading:
    """What is known of a forward pass so far.

    Args:
        segments: which segment each position belongs to.
        watched: how many layers are read.
        rows: which query rows to measure.
        patches: whether to keep the attention to each image token.
        start: position in the sequence of the pass's first query; a tensor where only the device
            knows it, as of a static cache, and ``None`` where nobody does, in a compiled graph.
            Neither is so where a window slides.
        length: queries in the pass.
        hold: whether a decoding step is read in the end alone, however large its keys are.
    """

    def __init__(
        self,
        segments: Segments,
        *,
        watched: int,
        rows: Rows,
        patches: bool,
        start: int | Tensor | None,
        length: int,
        hold: bool = False,
    ) -> None:
        self.seen = 0  # watched layers that ran
        self.intervened = False
        self._slots: list[int] = []  # watched layers, in the order they were read
        self._segments = segments
        self._watched = watched
        self._rows = rows
        self._keep_patches = patches
        self._start = start
        self._frames: dict[tuple[object, ...], Frame] = {}
        # A decoding step's layers are read when it is over, as long as their keys are small: Python
        # that runs in one go costs a third of what it costs scattered between the model's layers.
        self._later = length == 1 and (rows is None or isinstance(rows, int))
        self._last = _last(rows, length)
        self._waiting: list[tuple[Call, int | None]] = []
        self._hold = hold
        self._room: float = math.inf
        # Small results kept one by one between the large temporaries of a long prompt would break
        # up the heap: with glibc, 2,880 image tokens took a sixth more memory. They get one block.
        packed = length > 1
        self._masses = Parts(watched, packed)
        self._patches = Parts(watched, packed)

    @property
    def complete(self) -> bool:
        """Whether all watched layers were read."""
        return self.seen == self._watched

    @torch.no_grad()
    def finish(self) -> tuple[Tensor, Tensor | None]:
        """Masses and patches, as :class:`.StepAttention` has them."""
        self._observe_waiting()
        for frame in self._frames.values():
            if frame.queries:
                self._read(frame)
        masses = self._by_layer(self._masses.joined())
        patches = self._by_layer(self._patches.joined()) if self._keep_patches else None
        if self._rows is None:
            masses = masses.squeeze(3)
            patches = None if patches is None else patches.squeeze(2)
        return masses, patches

    @torch.no_grad()
    def postponed(self) -> tuple[Postponed, tuple[Tensor, ...]] | None:
        """The whole step as it can be read later, and the keys of its layers.

        Returns:
            ``None`` unless all its layers wait and are alike; see :meth:`.Postponed.of`.
        """
        if len(self._waiting) != self._watched or not isinstance(self._start, int):
            return None
        if [slot for _, slot in self._waiting] != list(range(self._watched)):
            return None
        calls = [call for call, _ in self._waiting]
        step = Postponed.of(calls, self._start)
        return None if step is None else (step, tuple(call.key for call in calls))

    def observe(self, call: Call, slot: int | None, guide: HeadGuided | None) -> None:
        """Take in a layer that ran.

        Args:
            call: the layer's attention.
            slot: its place among the watched layers, ``None`` if it is not watched.
            guide: Eq. 4, if it acts here.
        """
        if slot is not None:
            self.seen += 1
        if call.fleeting:
            with torch.no_grad():
                self._observe(call, slot, guide)
                for frame in self._frames.values():
                    if frame.queries:
                        self._read(frame)
            # A mask's memory, and with it its identity, may be another mask's in the next layer.
            self._frames.clear()
            return
        if guide is None and self._later:
            waiting = self._waiting
            if not waiting and not self._hold:
                size = call.key.numel() * call.key.element_size()
                self._room = JOINED_BYTES.get(call.key.device.type, 0) // size
            waiting.append((call, slot))
            if len(waiting) < self._room:
                return
        with torch.no_grad():
            if guide is None and self._later:
                self._observe_waiting()
            else:
                self._observe(call, slot, guide)

    def _observe_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        calls = [call for call, _ in waiting]
        if len(calls) > 1 and alike(calls):
            # What follows for each layer on its own comes to this: a step of most models is all so.
            frame = self._frame(calls[0])
            if not frame.queries and len(calls) <= frame.room:
                seen, keys = frame.sight.keys, [call.key for call in calls]
                whole = seen == keys[0].shape[2]
                frame.keys = keys if whole else [key[:, :, :seen] for key in keys]
                frame.queries = [call.query for call in calls]
                frame.slots = [slot for _, slot in waiting if slot is not None]
                if len(calls) == frame.room:
                    self._read(frame)
                return
        for call, slot in waiting:
            self._observe(call, slot, None)

    def _observe(self, call: Call, slot: int | None, guide: HeadGuided | None) -> None:
        """Let a layer wait to be read with others of its kind, or read it now."""
        frame, query, key, value = self._frame(call), call.query, call.key, call.value
        seen = frame.sight.keys
        if seen != key.shape[2]:
            key, value = key[:, :, :seen], value[:, :, :seen]
        if frame.rows is not None:
            query = pick(query, frame.rows)
        elif self._last is not None and query.shape[2] > self._last:
            query = query[:, :, -self._last :]
        sinks, bias = sinks_of(call.options), call.options.get("position_bias")
        if sinks is not None and sinks.ndim == 4:
            sinks = self._same_rows(frame, sinks)
        if bias is not None:
            bias = self._same_rows(frame, bias)[..., :seen]
        alone = guide is not None or sinks is not None or bias is not None
        if alone and frame.queries:
            self._read(frame)
        frame.queries.append(query)
        frame.keys.append(key)
        if slot is not None:
            frame.slots.append(slot)
        if guide is not None:
            if query.shape[2] > 1:
                raise WatchError(
                    f"Eq. 4 acts on the last query row of a pass, where {query.shape[2]} were to "
                    f"be measured. Set alpha to 0, or the tap's rows to 1 or None."
                )
            strength = guide.strength(query.shape[0], query.device)
            weights = self._read(frame, sinks, strength, bias)
            groups = query.shape[1] // value.shape[1]
            row = weights[0] @ value.repeat_interleave(groups, dim=1).float()
            guided, output = row[:, :, 0].to(call.output.dtype), call.output
            output[:, -1] = torch.where(strength.ne(0), guided, output[:, -1])
            self.intervened = True
        elif alone or len(frame.keys) >= frame.room:
            self._read(frame, sinks, bias=bias)

    def _same_rows(self, frame: Frame, values: Tensor) -> Tensor:
        """The rows of interest of ``[batch or 1, heads, queries, any]``."""
        if frame.rows is not None:
            return pick(values.expand(len(frame.rows), -1, -1, -1), frame.rows)
        return values if self._last is None else values[:, :, -self._last :]

    def _read(
        self,
        frame: Frame,
        sinks: Tensor | None = None,
        guide: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Recompute the rows of the layers waiting in ``frame`` and keep what a step needs."""
        weights = frame.weights(sinks, guide, bias)
        if frame.slots:
            self._slots += frame.slots
            self._masses.add(frame.masses(weights))
            patches = frame.patches(weights)
            if patches is not None:
                self._patches.add(patches)
        frame.clear()
        return weights

    def _by_layer(self, joined: Tensor) -> Tensor:
        """``[layers as read, batch, ...]`` as ``[batch, layers, ...]``, layers ascending."""
        if self._slots != sorted(self._slots):
            order = sorted(range(len(self._slots)), key=self._slots.__getitem__)
            joined = joined[torch.tensor(order, device=joined.device)]
        return joined.transpose(0, 1)

    def _frame(self, call: Call) -> Frame:
        kind = kind_of(call)
        frame = self._frames.get(kind)
        if frame is not None:
            return frame
        query, key, options = call.query, call.key, call.options
        batch, keys, device = key.shape[0], key.shape[2], key.device
        start = self._first_position(call)
        # A sliding window keeps the latest keys only; a static cache has room to spare.
        offset = max(start + query.shape[2] - keys, 0)
        table = self._segments.table(batch, offset + keys, device)[:, offset : offset + keys]
        rows = self._rows_of_pass(query, start)
        sees = sight(
            call.name,
            call.module,
            query,
            key,
            call.mask,
            options,
            start=start,
            segments=table,
            rows=rows,
        )
        index = exists = None
        if self._keep_patches:
            image = self._segments.image_index(batch, device)
            place = (image.positions - offset).unsqueeze(1)
            inside = image.exists.unsqueeze(1) & (place >= 0) & (place < sees.keys)
            index, exists = place.clamp(0, sees.keys - 1), inside.float()
        room = JOINED_BYTES.get(device.type, 0) // (key.numel() * key.element_size())
        frame = Frame(
            sight=sees,
            segments=table if sees.keys == keys else table[:, : sees.keys],
            # All rows, or the last few, need no picking.
            rows=rows if isinstance(self._rows, Tensor) else None,
            patch_index=index,
            patch_exists=exists,
            scaling=options.get("scaling"),
            softcap=options.get("softcap"),
            room=room if self._last == 1 else 1,
            mask=call.mask,
        )
        self._frames[kind] = frame
        return frame

    def _first_position(self, call: Call) -> int:
        """Where the pass begins in the sequence; where nothing depends on it, any place."""
        if isinstance(self._start, int):
            return self._start
        if isinstance(self._rows, Tensor) or not by_mask(call.name, call.mask):
            if self._start is None:
                raise WatchError(
                    f"How far a static cache is filled must be known where {call.name} keeps its "
                    f"own account of the mask, or rows are asked for by position, and a compiled "
                    f"graph does not tell. Use attn_implementation='sdpa', or disable_compile=True."
                )
            return int(self._start)
        return max(call.key.shape[2] - call.query.shape[2], 0)

    def _rows_of_pass(self, query: Tensor, start: int) -> Tensor | None:
        """The rows of interest, counted from the first query of this pass; ``None`` if they are
        the last one alone."""
        if self._last == 1:
            return None
        batch, _, length, _ = query.shape
        if not isinstance(self._rows, Tensor):
            begin = 0 if self._last is None else length - self._last
            return torch.arange(begin, length, device=query.device).expand(batch, -1)
        rows = self._rows.to(query.device) - start
        if bool(((rows < 0) | (rows >= length)).any()):
            raise WatchError(
                f"rows must lie within the one forward pass that is watched, positions "
                f"{start}-{start + length - 1}, were: {int(self._rows.min())}-"
                f"{int(self._rows.max())}. Run the whole sequence in a single pass."
            )
        return rows.repeat_interleave(self._segments.repeats(batch), dim=0)


def _last(rows: Rows, length: int) -> int | None:
    """How many rows at the end of a pass of ``length`` queries are measured; ``None`` if not so."""
    if rows is None:
        return 1
    return min(rows, length) if isinstance(rows, int) else None
