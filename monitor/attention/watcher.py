"""Who watches in this context (thread), if anybody does."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Protocol

from torch import Tensor, nn

from ..errors import WatchError

Attention = Callable[..., tuple[Tensor, Tensor | None]]


class Watcher(Protocol):
    """What stands between a model and its attention in one context."""

    @property
    def listening(self) -> bool:
        """False while the model's own function runs, and for good once the watcher closed."""
        ...

    def watches(self, module: nn.Module) -> bool:
        """Whether calls of this module concern the watcher."""
        ...

    def attend(
        self,
        own: Attention,
        name: str,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: object,
        options: dict[str, Any],
    ) -> tuple[Tensor, Tensor | None]:
        """Stand in for ``own``, the function that the model's config calls ``name``."""
        ...

    def saw(
        self,
        number: int,
        name: str,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        options: dict[str, Any],
        output: Tensor,
    ) -> None:
        """Learn of a call within a compiled graph, while the graph runs.

        Args:
            number: the ``id`` of the module that called.
            name: what the module's config calls its attention function.
            query, key, value, mask, options: what the function was called with. The tensors are
                the graph's own memory and hold something else when this has returned.
            output: a copy of what the function gave; it may be changed.
        """
        ...

    def said(self, logits: Tensor) -> None:
        """Learn of the logits that a compiled graph of the whole model gave."""
        ...


_ACTIVE: ContextVar[Watcher | None] = ContextVar("sightline_watcher", default=None)


def current() -> Watcher | None:
    """The watcher that is open in this context."""
    return _ACTIVE.get()


def activate(watcher: Watcher) -> Token[Watcher | None]:
    """Open ``watcher`` in this context.

    Raises:
        WatchError: if another is open already: two would each claim to be the model's attention.
    """
    other = _ACTIVE.get()
    if other is not None and other.listening:
        raise WatchError(
            "Only one AttentionTap may be open at a time in one thread; another is. Leave its "
            "`with` block first, or watch from another thread."
        )
    return _ACTIVE.set(watcher)


def deactivate(token: Token[Watcher | None]) -> None:
    """Close the watcher opened with ``token``."""
    try:
        _ACTIVE.reset(token)
    except ValueError:
        # Left in another context than it was entered in (a generator finalised elsewhere): this
        # context never saw the watcher, and in its own one it no longer listens.
        return
