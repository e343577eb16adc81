"""The layers of one kind within a forward pass, recomputed together and reduced at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from ...detectors.evidence import IMAGE
from .call import Call
from .intervention import guided_scores
from .rows import Sight, attention_weights, raw_scores

# Layers whose keys are small together are read in one go: their cost is the calls, not the bytes.
# Beyond this many bytes of keys the copy that joins them costs more than it saves.
JOINED_BYTES = {"cpu": 2 << 20, "cuda": 64 << 20}

# Options by which a layer adds something of its own to its scores, so that it is read alone.
_OWN: Final = frozenset({"s_aux", "sinks", "position_bias"})


@dataclass(slots=True, eq=False)
class Frame:
    """What layers of one kind share within a forward pass, and those of them still to be read.

    One kind means the same mask, the same number of keys, the same scaling: one computation.
    """

    sight: Sight
    segments: Tensor  # float32 [batch, keys, segments]
    scaling: float | None
    softcap: float | None
    rows: Tensor | None = None  # int64 [batch, rows], relative to the pass
    patch_index: Tensor | None = None  # int64 [batch, 1, image tokens], 0 where there is none
    patch_exists: Tensor | None = None  # float32 [batch, 1, image tokens]
    room: int = 1  # how many layers to read in one go
    mask: object = None  # keeps the mask alive, so that its id stays its own
    slots: list[int] = field(default_factory=list)
    queries: list[Tensor] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)

    def weights(
        self,
        sinks: Tensor | None = None,
        guide: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Attention weights of the layers waiting: ``[layers, batch, heads, rows, keys]``.

        ``guide`` is Eq. 4's strength, ``[batch, 1, 1]``, of the only layer waiting; ``bias`` what
        is added to the scores of each, ``[batch or 1, heads or 1, rows, keys]``.
        """
        layers = len(self.queries)
        query = self.queries[0] if layers == 1 else torch.cat(self.queries)
        key = self.keys[0] if layers == 1 else torch.cat(self.keys)
        batch, heads, rows, _ = self.queries[0].shape
        scores = raw_scores(query, key, self.scaling, self.softcap)
        if bias is not None:
            scores.view(layers, batch, heads, rows, -1).add_(bias.float())
        if guide is not None:
            image = self.segments[..., IMAGE]
            scores = guided_scores(scores.view(batch, heads, -1), image, guide).view_as(scores)
        if self.sight.bias is not None:
            kv_heads = batch * key.shape[1]
            scores = scores.view(layers, kv_heads, -1, scores.shape[-1]) + self.sight.bias
        scores = scores.view(layers, batch, heads, rows, -1)
        return attention_weights(scores, sinks)

    def masses(self, weights: Tensor) -> Tensor:
        """Sums over each segment: ``[layers, batch, heads, rows, segments]``."""
        layers, batch, heads, rows, keys = weights.shape
        # Segments first: a product with so few columns takes several times as long.
        if batch == 1:
            flat = self.segments[0].mT @ weights.reshape(-1, keys).mT
        else:
            flat = self.segments.mT @ weights.reshape(layers, batch, -1, keys).mT
        return flat.mT.reshape(layers, batch, heads, rows, -1)

    def patches(self, weights: Tensor) -> Tensor | None:
        """Head mean on each image token: ``[layers, batch, rows, image tokens]``."""
        if self.patch_index is None or self.patch_exists is None:
            return None
        mean = weights.mean(dim=2)
        index = self.patch_index.expand(*mean.shape[:-1], -1)
        return mean.gather(3, index) * self.patch_exists

    def clear(self) -> None:
        """Nothing waits any more."""
        self.slots, self.queries, self.keys = [], [], []


def kind_of(call: Call) -> tuple[object, ...]:
    """Layers of one kind are one computation."""
    query, key, get = call.query, call.key, call.options.get
    window, sinks = get("sliding_window"), get("s_aux")
    same = (id(call.mask), query.shape, key.shape, key.device, get("scaling"), get("softcap"))
    return (*same, window, None if sinks is None else id(sinks))


def alike(calls: Sequence[Call]) -> bool:
    """Whether decoding steps of layers are of one kind, none adding to its scores on its own.

    As :func:`kind_of` and what reads them apart would say of each, in one go: for every token.
    """
    first = calls[0]
    mask, queries, keys, device = first.mask, first.query.shape, first.key.shape, first.key.device
    given = first.options.get
    scaling, softcap, window = given("scaling"), given("softcap"), given("sliding_window")
    for call in calls:
        key, get = call.key, call.options.get
        if (
            call.mask is not mask
            or call.query.shape != queries
            or key.shape != keys
            or key.device != device
            or get("scaling") != scaling
            or get("softcap") != softcap
            or get("sliding_window") != window
            or not _OWN.isdisjoint(call.options)
        ):
            return False
    return True
