"""A tap whose steps are read when they are over, and only where somebody wants to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from ...detectors.evidence import SEGMENTS
from ..models.anatomy import Anatomy
from .frame import JOINED_BYTES, Frame
from .postponed import Postponed
from .rows import MASKED, Sight, shown
from .step import StepAttention
from .tap import AttentionTap

# Attention weights of a layer that exist at once while steps are read.
_BYTES: Final = {"cpu": 8 << 20, "cuda": 256 << 20}


class DeferredTap(AttentionTap):
    """Keeps each decoding step's queries, and reads some rows of some steps at the end.

    Most tokens name nothing, and nobody asks what their rows attended to. A cache that only grows
    still holds the keys of every step when the last one is over, so all that a step must keep is
    its queries, as much as one position takes in the cache or a little more. A step that cannot be
    read later (the prompt, a sliding or static or quantised cache, learned sinks, layers of
    several kinds) is read at once, as :class:`AttentionTap` reads it.

    Example::

        with DeferredTap(anatomy, image) as tap:
            model.generate(**inputs, logits_processor=[lambda ids, scores: tap.keep() or scores])
        tap.read([0, 0, 1], steps=[3, 9, 4])

    Args:
        anatomy: where the model keeps its parts.
        image: bool ``[batch, prompt]``, True on image tokens.
        prompt_mask: ``[batch, prompt]``, 0 on padding; ``None`` if nothing is padded.
        layers: decoder layers to watch, counted from 0; all by default.

    Attributes:
        heads: query heads of a layer.

    Raises:
        InputError, ValueError, WatchError: as :class:`AttentionTap`.
    """

    _hold = True

    def __init__(
        self,
        anatomy: Anatomy,
        image: Tensor,
        *,
        prompt_mask: Tensor | None = None,
        layers: Iterable[int] | None = None,
    ) -> None:
        super().__init__(anatomy, image, prompt_mask=prompt_mask, layers=layers)
        self.heads = anatomy.num_heads
        self._steps: list[Postponed | StepAttention] = []
        self._places = [getattr(module, "layer_idx", -1) for module in self._modules]
        self._coming: Any = None  # the cache of the latest pass, if it is one that only grows
        self._cache: Any = None  # that of the steps put off; nothing else may keep its keys, for
        self._length = 0  # memory that is free again at once is what makes a growing cache fast

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._coming = None

    def expect(self, decoder: nn.Module, cache: Any) -> None:
        """Learn what the coming pass of ``decoder`` finds in its cache, and of what kind it is."""
        super().expect(decoder, cache)
        if decoder is self._decoder and self._listening:
            layers = getattr(cache, "layers", ())
            grows = (
                len(layers) > max(self._places)
                and min(self._places) >= 0
                and not getattr(cache, "offloading", False)
                and all(type(layer) is DynamicLayer for layer in layers)
            )
            self._coming = cache if grows else None

    @torch.no_grad()
    def keep(self) -> None:
        """Keep the latest forward pass; each pass can be kept once.

        A pass of which several rows are measured counts as so many steps.

        Raises:
            WatchError: if no pass was completed since the last call.
        """
        reading = self._latest()
        later = reading.postponed() if self._coming is not None else None
        if later is not None and self._put_off(*later):
            return
        self._settle()
        masses, _ = reading.finish()
        self._steps += StepAttention(self.layers, masses, None, reading.intervened).by_row()

    @torch.no_grad()
    def read(self, rows: Sequence[int], steps: Sequence[int]) -> Tensor:
        """Some rows of some steps; the block may have been left.

        Args:
            rows: ``n`` rows of the batch.
            steps: of each, which of the passes kept, from 0.

        Returns:
            float32 ``[n, layers, heads, segments]``, as :class:`StepAttention` has them.

        Raises:
            IndexError: there is no such step.
        """
        wanted: dict[int, list[int]] = {}  # by row, places in the result
        places: list[int] = []
        parts: list[Tensor] = []
        for place, (row, number) in enumerate(zip(rows, steps, strict=True)):
            step = self._steps[number]
            if isinstance(step, Postponed):
                wanted.setdefault(row, []).append(place)
            else:
                places.append(place)
                parts.append(step.masses[row : row + 1])
        for some in self._together(wanted):
            now = [place for row in some for place in wanted[row]]
            places += now
            parts.append(self._recompute([rows[i] for i in now], [steps[i] for i in now]))
        if not parts:
            return torch.empty(0, len(self.layers), self.heads, len(SEGMENTS))
        joined = torch.cat([part.to(parts[0].device) for part in parts])
        order = sorted(range(len(places)), key=places.__getitem__)
        return joined[torch.tensor(order, device=joined.device)]

    @torch.no_grad()
    def drain(self) -> tuple[Tensor, ...]:
        """Read all steps kept, every row, and forget them and the cache; also after the block.

        Returns:
            of each step, float32 ``[batch, layers, heads, segments]``.
        """
        try:
            self._settle()
        finally:  # also where the cache was cut and cannot be read
            steps, self._steps, self._cache = self._steps, [], None
        return tuple(step.masses for step in steps if isinstance(step, StepAttention))

    def _together(self, wanted: dict[int, list[int]]) -> Iterator[list[int]]:
        """Rows whose steps are read in one go."""
        if not wanted:
            return
        keys = self._keys()[0]
        most = max(map(len, wanted.values()))
        each = 4 * self.heads * most * keys.shape[2]
        size = max(1, _BYTES.get(keys.device.type, _BYTES["cpu"]) // each)
        rows = sorted(wanted)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def _recompute(self, rows: Sequence[int], numbers: Sequence[int]) -> Tensor:
        """Masses ``[n, layers, heads, segments]`` of some steps that were put off, by row."""
        chosen = sorted(set(rows))
        local = {row: place for place, row in enumerate(chosen)}
        taken: Counter[int] = Counter()
        by_step: dict[int, list[tuple[int, int, int]]] = {}
        cells: list[tuple[int, int]] = []
        for row, number in zip(rows, numbers, strict=True):
            cell = local[row], taken[row]
            taken[row] += 1
            cells.append(cell)
            by_step.setdefault(number, []).append((row, *cell))
        some = self._steps[numbers[0]]
        assert isinstance(some, Postponed)
        layers, _, heads, width = some.queries.shape
        keys = self._keys()
        device, total = some.queries.device, self._length
        shape = len(chosen), max(taken.values())
        queries = some.queries.new_zeros(layers, *shape, heads, width)
        bias = torch.full((*shape, total), MASKED, device=device)
        for number, entries in by_step.items():
            step = self._steps[number]
            assert isinstance(step, Postponed)
            of, place, slot = torch.tensor(entries, device=device).unbind(1)
            queries[:, place, slot] = step.queries[:, of]
            shows = shown(step.mask, step.length, device)
            bias[place, slot, : step.length] = shows[of] if len(shows) > 1 else shows
        # Rows that are neighbours, as nearly always, are not copied.
        near = chosen[-1] - chosen[0] == len(chosen) - 1
        some_rows: slice | Tensor = torch.tensor(chosen, device=device)
        if near:
            some_rows = slice(chosen[0], chosen[-1] + 1)
        table = self._segments.table(len(keys[0]), total, device)[some_rows, :total]
        frame = Frame(Sight(total, None), table, some.scaling, some.softcap)
        bias = bias.unsqueeze(1)
        read = []
        every = queries.transpose(2, 3)
        size = len(chosen) * keys[0][0].numel() * keys[0].element_size()
        room = max(1, JOINED_BYTES.get(device.type, 0) // size)
        for start in range(0, layers, room):
            frame.queries = list(every[start : start + room])
            frame.keys = [key[some_rows] for key in keys[start : start + room]]
            read.append(frame.masses(frame.weights(bias=bias)))
        masses = torch.cat(read)  # [layers, rows, heads, slots, segments]
        place, slot = torch.tensor(cells, device=device).unbind(1)
        return masses.permute(1, 3, 0, 2, 4)[place, slot]

    def _put_off(self, step: Postponed, keys: Sequence[Tensor]) -> bool:
        """Whether the step can wait, because its cache keeps its very keys."""
        held = self._coming.layers
        if any(held[place].keys is not key for place, key in zip(self._places, keys, strict=True)):
            return False
        if self._cache is not self._coming or step.length != self._length + 1:
            self._settle()
        self._cache, self._length = self._coming, step.length
        self._steps.append(step)
        return True

    def _keys(self) -> list[Tensor]:
        """Each layer's keys of all steps that were put off."""
        return [self._cache.layers[place].keys[:, :, : self._length] for place in self._places]

    def _settle(self) -> None:
        """Read all that was put off, while the keys for it are there."""
        later = [number for number, step in enumerate(self._steps) if isinstance(step, Postponed)]
        if later:
            batch = self._keys()[0].shape[0]
            rows, steps = [*range(batch)] * len(later), [n for n in later for _ in range(batch)]
            for number, masses in zip(later, self.read(rows, steps).split(batch), strict=True):
                self._steps[number] = StepAttention(self.layers, masses, None, False)
        self._cache = None
