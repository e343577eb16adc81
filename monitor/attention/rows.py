"""Attention weights of a few query rows, recomputed in float32 beside the model's own kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .blockmask import BlockMask
from .blockmask import visible as visible_in

MASKED = torch.finfo(torch.float32).min / 2  # finite, so that a row without any key stays finite


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Which keys the rows of interest may attend to.

    Attributes:
        keys: only this many keys, from the first, take part.
        bias: float32, broadcastable to ``[batch * kv heads, group * rows, keys]``, to be added
            to the scores; ``None`` if every one of ``keys`` is visible.
    """

    keys: int
    bias: Tensor | None


def sight(
    name: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    mask: object,
    options: dict[str, Any],
    *,
    start: int,
    segments: Tensor,
    rows: Tensor | None,
) -> Sight:
    """Which keys each row sees, by the rules of the attention function that the model uses.

    Args:
        name: the model's own attention implementation.
        module: the attention module.
        query: ``[batch, heads, queries, dim]``.
        key: ``[batch, kv heads, keys, dim]``.
        mask: what the module was given: nothing, a dense mask ``[batch, heads or 1, queries,
            keys]`` (bool or additive), FlexAttention's, a padding mask ``[batch, keys]``, or what
            only the implementation itself understands.
        options: the keyword arguments of the call.
        start: position in the sequence of the first query.
        segments: ``[batch, keys, segments]``, all 0 on padding.
        rows: int64 ``[batch, rows]`` queries of interest, or ``None`` for the last alone.
    """
    length, keys = query.shape[2], key.shape[2]
    if isinstance(mask, Tensor) and mask.ndim == 4:
        return Sight(keys, _per_head(_dense_bias(mask, keys, rows), query, key))
    if isinstance(mask, BlockMask):
        seen = visible_in(mask, rows, queries=length, keys=keys)
        return Sight(keys, _per_head(_additive(seen), query, key))
    if mask is None and name == "flex_attention":
        return Sight(keys, None)  # it masks nothing by itself
    causal = _is_causal(module, options) and length > 1
    if mask is None and name in ("sdpa", "eager"):
        # Without a mask, SDPA aligns causality with the first key; eager has none at all.
        if name == "eager" or not causal:
            return Sight(keys, None)
        if rows is None:
            return Sight(min(keys, length), None)
        visible = torch.arange(keys, device=key.device) <= rows.unsqueeze(-1)
        return Sight(keys, _per_head(_additive(visible.unsqueeze(1)), query, key))
    # FlashAttention keeps its own account of causality, padding and windows, aligned with the last
    # key.
    total = start + length
    offset = max(total - keys, 0)
    position = torch.arange(keys, device=key.device) + offset
    row = (rows if rows is not None else torch.full((1, 1), length - 1, device=key.device)) + start
    row = row.unsqueeze(-1)
    visible = segments.any(dim=2).unsqueeze(1) & (position < total)
    if causal or length == 1:
        visible = visible & (position <= row)
    window = options.get("sliding_window")
    if window is not None:
        visible = visible & (position > row - window)
    part = _packed(query, key, mask, options)
    if part is not None:
        visible = visible & (part == part[row - start])
    if isinstance(mask, Tensor) and mask.ndim == 2:
        # A static cache has room for more keys than the mask knows of.
        known = nn.functional.pad(mask[:, -keys:].bool(), (0, max(keys - mask.shape[1], 0)))
        visible = visible & known.unsqueeze(1)
    return Sight(keys, _per_head(_additive(visible.unsqueeze(1)), query, key))


def _packed(query: Tensor, key: Tensor, mask: object, options: dict[str, Any]) -> Tensor | None:
    """Which of several sequences packed into one row each key belongs to, int64 ``[keys]``.

    FlashAttention is told by their cumulative lengths, or by positions that begin anew at 0.
    """
    length, keys = query.shape[2], key.shape[2]
    if mask is not None or query.shape[0] != 1 or length == 1 or length != keys:
        return None
    ends = options.get("cu_seq_lens_k")
    if ends is not None:
        places = torch.arange(keys, device=key.device)
        return torch.bucketize(places, ends[1:].to(places), right=True)
    positions = options.get("position_ids")
    if isinstance(positions, Tensor) and positions.shape == (1, length):
        return (positions[0] == 0).cumsum(0)
    return None


def by_mask(name: str, mask: object) -> bool:
    """Whether what rows see is known from the mask, or from there being none."""
    if mask is None:
        return name in ("sdpa", "eager", "flex_attention")
    return isinstance(mask, BlockMask) or (isinstance(mask, Tensor) and mask.ndim == 4)


def shows_all(name: str, mask: object, options: dict[str, Any]) -> bool:
    """Whether a single row's sight is known from its mask alone, and is that of all heads."""
    if name not in ("sdpa", "eager") or sinks_of(options) is not None:
        return False
    if options.get("position_bias") is not None:
        return False
    return mask is None or (isinstance(mask, Tensor) and mask.ndim == 4 and mask.shape[1] == 1)


def sinks_of(options: dict[str, Any]) -> Tensor | None:
    """What takes attention away from all keys, by either of the names models have for it."""
    sinks = options.get("s_aux")
    return options.get("sinks") if sinks is None else sinks


def shown(mask: Tensor | None, keys: int, device: torch.device) -> Tensor:
    """Additive ``[batch or 1, keys]``: what the last row that a dense mask is for may see."""
    if mask is None:
        return torch.zeros(1, keys, device=device)
    return _dense_bias(mask, keys, None)[:, 0, 0]


def raw_scores(query: Tensor, key: Tensor, scaling: float | None, softcap: float | None) -> Tensor:
    """Scaled scores before any mask, float32 ``[batch * kv heads, group * rows, keys]``.

    Args:
        query: ``[batch, heads, rows, dim]``.
        key: ``[batch, kv heads, keys, dim]``, not repeated for grouped heads.
        scaling: factor of the scores; ``dim ** -0.5`` if not given.
        softcap: bound of the scores, as Gemma 2 has it.
    """
    width = query.shape[-1]
    factor = width**-0.5 if scaling is None else scaling
    grouped = query.reshape(key.shape[0] * key.shape[1], -1, width)
    across = key.flatten(0, 1).transpose(1, 2)
    if query.dtype == torch.float32:
        scores = torch.bmm(grouped * factor, across)
    elif query.is_cuda:
        # Half-precision inputs, float32 result: no float32 copy of the keys is made.
        scores = torch.bmm(grouped, across, out_dtype=torch.float32) * factor
    else:
        scores = torch.bmm(grouped.float() * factor, across.float())
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


def attention_weights(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Softmax over the keys of ``[..., heads, rows, keys]``.

    ``sinks``, learned ``[heads]`` or made from the query ``[batch, heads, rows, 1]``, take part of
    the mass, which is left out of the result.
    """
    if sinks is None:
        return torch.softmax(scores, dim=-1)
    sinks = sinks.to(scores)
    sink = (sinks.view(-1, 1, 1) if sinks.ndim == 1 else sinks).expand(*scores.shape[:-1], 1)
    return torch.softmax(torch.cat([scores, sink], dim=-1), dim=-1)[..., :-1]


def pick(states: Tensor, rows: Tensor) -> Tensor:
    """``states`` ``[batch, heads, queries, dim]`` at ``rows`` int64 ``[batch, rows]``."""
    index = rows[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[-1])
    return states.gather(2, index)


def _is_causal(module: nn.Module, options: dict[str, Any]) -> bool:
    given = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if given is None else given)


def _dense_bias(mask: Tensor, keys: int, rows: Tensor | None) -> Tensor:
    """Additive ``[batch or 1, heads or 1, rows, keys]`` of the rows of interest."""
    mask = mask[..., :keys]
    if rows is None:
        picked = mask[:, :, -1:]
    else:
        batch = rows.shape[0]
        index = rows[:, None, :, None].expand(-1, mask.shape[1], -1, keys)
        picked = mask.expand(batch, -1, -1, -1).gather(2, index)
    return _additive(picked)


def _additive(mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, MASKED)
    return mask.float().clamp_min(MASKED)


def _per_head(bias: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Lay ``[batch or 1, heads or 1, rows, keys]`` out as the scores are."""
    batch, heads = query.shape[:2]
    kv_heads = key.shape[1]
    rows, keys = bias.shape[2:]
    if bias.shape[1] == 1 and rows == 1:
        # One row for all heads broadcasts over the group.
        if bias.shape[0] == 1:
            return bias.view(1, 1, keys)
        return bias.expand(batch, kv_heads, 1, keys).reshape(batch * kv_heads, 1, keys)
    full = bias.expand(batch, heads, rows, keys)
    return full.reshape(batch * kv_heads, heads // kv_heads * rows, keys)
