"""How many positions a forward pass finds in its cache: where in the sequence it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from torch import Tensor, nn

from ..errors import WatchError
from ..models.versions import DummyLayer
from .call import Call

# Kinds of layers, as transformers' configs call them, that keep the key of every position or none.
_WHOLE: Final = frozenset(
    {
        "full_attention",
        "indexed_attention",
        "minimax_m3_sparse",
        "hybrid",
        "linear_attention",
        "conv",
        "moe",
        "mlp",
    }
)


class Cached:
    """What the coming pass of a decoder finds in its cache.

    Keys alone do not tell: a sliding cache holds fewer, a static one has room for more.

    Args:
        modules: the attention modules that are watched or acted on, first to last.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        # Kinds of layers of whose keys a compiled pass cannot tell which positions they are.
        self._moving = sorted({kind for kind in map(_kind, modules) if kind not in _WHOLE})
        self._length: int | Tensor | None = None  # None if the model did not say
        self._cache: Any = None  # the latest one seen, for passes that run compiled

    def expect(self, cache: Any) -> None:
        """Learn which cache the coming pass is given, if any."""
        self._cache = cache
        self._length = 0
        if cache is not None:
            length = cache.get_seq_length()
            if isinstance(length, Tensor):
                # A static cache counts on the device. Reading that number would wait for it.
                known = self._known()
                length = length.clone() if known is None else known
            self._length = length

    def again(self) -> None:
        """A compiled pass begins, of whose cache nobody tells: it is given the latest again."""
        self._length = self._known()

    def forget(self) -> None:
        """Keep no cache alive."""
        self._cache = None

    def start(self, call: Call) -> int | Tensor | None:
        """Position in the sequence of the first query of a pass that has begun; told once.

        Args:
            call: of the pass's first layer.

        Returns:
            a tensor where only the device knows it, ``None`` where nobody does.

        Raises:
            WatchError: nobody does, and some layers do not keep every position.
        """
        length, self._length = self._length, None
        if length is not None:
            return length
        if not call.fleeting:
            return call.key.shape[2] - call.query.shape[2]
        if self._moving:
            raise WatchError(
                f"In a compiled model some of whose layers do not keep every position "
                f"({', '.join(self._moving)}), the tap must know the cache from a pass that is not "
                f"compiled, as generate's own reading of the prompt is. Let generate compile: "
                f'generate(cache_implementation="static"), or pass disable_compile=True.'
            )
        return None

    def _known(self) -> int | None:
        """How many positions the cache holds, where a watched layer of it knows on the host.

        In a pass that has begun, the last layer is the one that has not changed yet.
        """
        layers = getattr(self._cache, "layers", ())
        for module in reversed(self._modules):
            place = getattr(module, "layer_idx", len(layers))
            # A layer that shares another's keys has a placeholder in the cache, without a length.
            if place < len(layers) and not isinstance(layers[place], DummyLayer):
                length = layers[place].get_seq_length()
                if isinstance(length, int):
                    return length
        return None


def _kind(attention: nn.Module) -> str:
    """What kind of layer an attention module is of."""
    config = attention.config
    kinds = getattr(config, "layer_types", None)
    place = getattr(attention, "layer_idx", None)
    if kinds is not None and isinstance(place, int) and 0 <= place < len(kinds):
        return str(kinds[place])
    if getattr(config, "sliding_window", None) is not None:
        return "sliding_attention"
    if getattr(config, "attention_chunk_size", None) is not None:
        return "chunked_attention"
    return "full_attention"
