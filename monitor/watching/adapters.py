"""What plugs into ``generate``: thin, with exactly the signatures transformers inspects.

All they do is tell a :class:`Listener` what ``generate`` told them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

_Call = TypeVar("_Call", bound=Callable[..., Any])


def signed(call: _Call) -> _Call:
    """Decorate the ``__call__`` of a logits processor: its signature is worked out once.

    ``generate`` asks every processor for it at every step. Worked out anew each time, that costs a
    small model more than a microsecond per layer.
    """
    method: Any = call
    method.__signature__ = inspect.signature(call)
    return call


class Listener(Protocol):
    """What stands behind the pair."""

    def on_scores(self, input_ids: Tensor) -> None:
        """A forward pass is done, its token not picked. ``input_ids``: ``[rows, length]``."""

    def on_tokens(self, ids: Tensor) -> None:
        """The prompts ``[rows, length]`` first, then one token a row ``[rows]``, or several of a
        single row ``[1, tokens]`` under assisted decoding; on the host."""

    def on_end(self) -> None:
        """No further tokens."""


class WatchingProcessor(LogitsProcessor):
    """Lets the listener read each step and hands the scores on as they are, the same tensor."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    @signed
    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        self._listener.on_scores(input_ids)
        return scores


class BeamListener(Protocol):
    """What stands behind the criterion."""

    def on_candidates(self, input_ids: Tensor) -> None:
        """What a search may go on with, ``[batch * candidates, length]``, prompts included."""


class WatchingCriterion(StoppingCriteria):
    """Lets the listener see what a beam search considers, and stops nothing."""

    def __init__(self, listener: BeamListener) -> None:
        self._listener = listener

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **kwargs: Any) -> Any:
        self._listener.on_candidates(input_ids)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class WatchingStreamer(BaseStreamer):
    """Takes batches, unlike transformers' text streamers.

    Args:
        listener: what stands behind the pair.
        also: another streamer to pass everything on to, after the listener.
    """

    def __init__(self, listener: Listener, *, also: BaseStreamer | None = None) -> None:
        self._listener = listener
        self._also = also

    def put(self, value: Tensor) -> None:
        """The prompts first, then the tokens of each step."""
        self._listener.on_tokens(value)
        if self._also is not None:
            self._also.put(value)

    def end(self) -> None:
        """Generation ended by itself."""
        self._listener.on_end()
        if self._also is not None:
            self._also.end()
