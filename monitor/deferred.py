"""A tap whose steps are read when they are over, and only where somebody wants to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from ..detectors.evidence import SEGMENTS
from .anatomy import Anatomy
from .attention import AttentionTap, StepAttention
from .frame import Frame
from .reading import Postponed
from .rows import MASKED, shown, sight_of

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
        self._heads = anatomy.num_heads
        self._grows = False
        self._steps: list[Postponed | StepAttention] = []
        self._keys: tuple[Tensor, ...] = ()
        self._trusted = False

    def expect(self, decoder: nn.Module, cache: Any) -> None:
        """Learn what the coming pass of ``decoder`` finds in its cache, and of what kind it is."""
        super().expect(decoder, cache)
        if decoder is self._decoder:
            layers = getattr(cache, "layers", ())
            self._grows = (
                bool(layers)
                and not getattr(cache, "offloading", False)
                and all(type(layer) is DynamicLayer for layer in layers)
            )

    @torch.no_grad()
    def keep(self) -> None:
        """Keep the latest forward pass; each pass can be kept once.

        Raises:
            WatchError: if no pass was completed since the last call.
        """
        reading = self._latest()
        later = reading.postponed() if self._grows else None
        if later is not None and self._continue(later[1]):
            self._steps.append(later[0])
            self._keys = later[1]
            return
        self._settle()
        masses, _ = reading.finish()
        self._steps.append(StepAttention(self.layers, masses, None, reading.intervened))

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
        found: dict[int, Tensor] = {}
        for place, (row, number) in enumerate(zip(rows, steps, strict=True)):
            step = self._steps[number]
            if isinstance(step, Postponed):
                wanted.setdefault(row, []).append(place)
            else:
                found[place] = step.masses[row]
        for some in self._together(wanted):
            places = [place for row in some for place in wanted[row]]
            masses = self._recompute([rows[i] for i in places], [steps[i] for i in places])
            found.update(zip(places, masses.unbind(), strict=True))
        if not found:
            return torch.empty(0, len(self.layers), self._heads, len(SEGMENTS))
        device = found[0].device
        return torch.stack([found[place].to(device) for place in range(len(found))])

    def _together(self, wanted: dict[int, list[int]]) -> Iterator[list[int]]:
        """Rows whose steps are read in one go."""
        if not wanted:
            return
        keys = self._keys[0]
        most = max(map(len, wanted.values()))
        each = 4 * self._heads * most * keys.shape[2]
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
        device, total = some.queries.device, self._keys[0].shape[2]
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
        index = torch.tensor(chosen, device=device)
        table = self._segments.table(self._keys[0].shape[0], total, device)[index, :total]
        read = []
        for query, every in zip(queries.transpose(2, 3), self._keys, strict=True):
            key = every if len(chosen) == len(every) else every[index]
            frame = Frame(
                sight=sight_of(bias, query, key),
                segments=table,
                scaling=some.scaling,
                softcap=some.softcap,
            )
            frame.queries, frame.keys = [query], [key]
            read.append(frame.masses(frame.weights()))
        masses = torch.cat(read)  # [layers, rows, heads, slots, segments]
        place, slot = torch.tensor(cells, device=device).unbind(1)
        return masses.permute(1, 3, 0, 2, 4)[place, slot]

    def _continue(self, keys: tuple[Tensor, ...]) -> bool:
        """Whether ``keys`` begin with those of the step before, if there is one."""
        before = self._keys
        if not before:
            return True
        if any(
            new.shape[:2] != old.shape[:2] or new.shape[2] != old.shape[2] + 1
            for new, old in zip(keys, before, strict=True)
        ):
            return False
        if not self._trusted:
            # Some model may turn its keys anew in every step; it would show in the first two.
            self._trusted = all(
                torch.equal(new[:, :, :-1], old) for new, old in zip(keys, before, strict=True)
            )
        return self._trusted

    def _settle(self) -> None:
        """Read all that was put off, while the keys for it are there."""
        later = [number for number, step in enumerate(self._steps) if isinstance(step, Postponed)]
        batch = self._keys[0].shape[0] if self._keys else 0
        masses = self.read([*range(batch)] * len(later), [n for n in later for _ in range(batch)])
        for place, number in enumerate(later):
            own = masses[place * batch : (place + 1) * batch]
            self._steps[number] = StepAttention(self.layers, own, None, False)
        self._keys = ()
