"""Take back the latest positions of a key-value cache, or say beforehand why that cannot be.

transformers' own ``crop`` forgets what a sliding window needs for a second rollback, takes the
layers of a quantized cache for full ones, and does not exist for static caches. What is needed is
less: the prompt always stays, and after it every kept position must be exactly as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, GenerationConfig, PreTrainedModel, StaticCache
from transformers.cache_utils import (
    DynamicIndexedLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    StaticLayer,
    StaticSlidingWindowLayer,
)

from ..errors import OptionError, SightlineError
from ..models.versions import DummyLayer

_GROWING: Final = frozenset({None, "dynamic", "offloaded"})
_STATIC: Final = frozenset({"static", "offloaded_static"})
# Exactly these: a quantized layer, for one, calls itself croppable because it inherits from one.
_KNOWN: Final = frozenset(
    {
        DummyLayer,
        DynamicIndexedLayer,
        DynamicLayer,
        DynamicSlidingWindowLayer,
        StaticLayer,
        StaticSlidingWindowLayer,
    }
)
_REMEDY: Final = "Decode without re-decoding, or leave cache_implementation out."


class RollbackError(SightlineError, RuntimeError):
    """A generation was asked to go back where it cannot, or to go on from where it is not."""


def check_rollback(model: PreTrainedModel, config: GenerationConfig) -> None:
    """Refuse, before anything is decoded, what could not be rolled back.

    Args:
        model: the model that decodes.
        config: all options of ``generate``, those of the model's own config included.

    Raises:
        OptionError: the cache that ``generate`` would make cannot be cropped.
    """
    if model.config.is_encoder_decoder:
        raise OptionError(
            f"Only decoder-only models can be rolled back, {type(model).__name__} has an encoder. "
            f"Decode without re-decoding."
        )
    if config.use_cache is False:
        raise OptionError(
            "A generation is resumed from its key-value cache, but use_cache=False. Leave "
            "use_cache out."
        )
    kind, text = config.cache_implementation, model.config.get_text_config(decoder=True)
    if kind == "hybrid":
        kind = None  # what older checkpoints say, and generate ignores
    if kind in _GROWING:
        planned: Cache = DynamicCache(config=text)
    elif kind in _STATIC:
        planned = StaticCache(config=text, max_cache_len=1)
    else:
        raise OptionError(
            f"cache_implementation={kind!r} cannot be rolled back: only dynamic and static caches "
            f"keep every position as it was. {_REMEDY}"
        )
    why = reason_against(planned)
    if why is None and model.device.type == "mps" and any(planned.is_sliding):
        why = "on mps, generate itself trims sliding windows after every step"
    if why is not None:
        raise OptionError(
            f"{type(model).__name__} cannot be rolled back: {why}. Decode without re-decoding."
        )


def reason_against(cache: Cache) -> str | None:
    """Why a cache, filled or empty, cannot be rolled back; ``None`` if it can."""
    for index, layer in enumerate(cache.layers):
        if type(layer) not in _KNOWN:
            return f"layer {index} keeps a {type(layer).__name__}, which forgets its past"
    return None


class RewindableCache:
    """A filled cache that can be cut back, as often as wanted, to any length since it was wrapped.

    Args:
        cache: as the prompt's forward pass left it. From now on what leaves a sliding window is
            kept: as much memory as full layers would take for what is generated.
        apart: layers that do not grow with the text, such as cross-attention to an image.

    Raises:
        RollbackError: a layer cannot be rolled back.
    """

    def __init__(self, cache: Cache, *, apart: Iterable[int] = ()) -> None:
        why = reason_against(cache)
        if why is not None:
            raise RollbackError(f"This cache cannot be rolled back: {why}.")
        self.cache = cache
        self._apart = frozenset(apart)
        self._least = int(cache.get_seq_length())
        cache.activate_past_recording()
        # What a static window overwrites: per layer, the columns by their position.
        self._lost: dict[int, dict[int, tuple[Tensor, Tensor]]] = {
            index: {}
            for index, layer in enumerate(cache.layers)
            if isinstance(layer, StaticSlidingWindowLayer)
        }
        # The position of the first key that a dynamic window still holds.
        self._first = {
            index: layer.cumulative_length - layer.keys.shape[-2]
            for index, layer in enumerate(cache.layers)
            if isinstance(layer, DynamicSlidingWindowLayer) and layer.keys is not None
        }

    def prepare(self, tokens: int = 1) -> None:
        """Keep what the coming pass over ``tokens`` tokens will overwrite; to be called before."""
        for index, lost in self._lost.items():
            layer: Any = self.cache.layers[index]
            held, window = layer.cumulative_length_int, layer.max_cache_len
            first = max(held - window, 0)
            for place in range(first, min(held + tokens - window, held)):
                column = slice(place - first, place - first + 1)
                lost[place] = (layer.keys[:, :, column].clone(), layer.values[:, :, column].clone())

    def crop(self, length: int) -> None:
        """Keep the first ``length`` positions; a pass that broke off half-way is tidied up too.

        Raises:
            RollbackError: the cache is shorter, or was when it was wrapped.
        """
        if length < self._least:
            raise RollbackError(
                f"A cache can be cut back to the {self._least} positions it was wrapped with, "
                f"asked for: {length}. Read the prompt anew to go further back."
            )
        # Caches made in inference mode may only be written to in inference mode.
        with torch.inference_mode():
            for index, layer in enumerate(self.cache.layers):
                if index in self._apart or isinstance(layer, DummyLayer):
                    continue
                if isinstance(layer, StaticSlidingWindowLayer):
                    _crop_static_window(layer, length, self._lost[index])
                elif isinstance(layer, StaticLayer):
                    _crop_static(layer, length)
                else:
                    _crop_dynamic(layer, length, first=self._first.get(index, 0))


def _crop_dynamic(layer: Any, length: int, *, first: int) -> None:
    if not layer.is_initialized:  # it shares another layer's keys
        return
    kept = length - first
    if min(layer.keys.shape[-2], layer.values.shape[-2]) < kept:
        raise _too_short(length, first + layer.keys.shape[-2])
    layer.keys = layer.keys[..., :kept, :]
    layer.values = layer.values[..., :kept, :]
    if isinstance(layer, DynamicSlidingWindowLayer):
        layer.cumulative_length = length
    if isinstance(layer, DynamicIndexedLayer):
        if layer.indexer_keys is not None:
            layer.indexer_keys = layer.indexer_keys[:, :kept]
        if layer.indexer_position_ids is not None:
            layer.indexer_position_ids = layer.indexer_position_ids[..., :kept]


def _crop_static(layer: Any, length: int) -> None:
    if not layer.is_initialized:
        return
    if int(layer.cumulative_length) < length:
        raise _too_short(length, int(layer.cumulative_length))
    # In place: compiled code knows these tensors by their address. What lies beyond is masked, but
    # a NaN there would come through the mask.
    layer.keys[:, :, length:].zero_()
    layer.values[:, :, length:].zero_()
    layer.cumulative_length.fill_(length)


def _crop_static_window(layer: Any, length: int, lost: dict[int, tuple[Tensor, Tensor]]) -> None:
    if not layer.is_initialized:
        return
    held, window = layer.cumulative_length_int, layer.max_cache_len
    if held < length:
        raise _too_short(length, held)
    if held == length:
        return
    # The columns of the window that ends at `length`: those that were pushed out, then the rest.
    first, start = max(held - window, 0), max(length - window, 0)
    back = [lost[place] for place in range(start, first)]
    for name, which in (("keys", 0), ("values", 1)):
        columns = getattr(layer, name)
        kept = torch.cat([*(pair[which] for pair in back), columns], dim=2)[:, :, : length - start]
        columns[:, :, : kept.shape[2]] = kept
        columns[:, :, kept.shape[2] :].zero_()
    layer.cumulative_length_int = length
    if length < window:
        layer.cumulative_length.fill_(length)
    for place in [place for place in lost if place >= start]:
        del lost[place]


def _too_short(length: int, held: int) -> RollbackError:
    return RollbackError(f"A cache cannot be cut to {length} positions, it holds {held}.")
