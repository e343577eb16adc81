"""What transformers has only from some version on, and what stands for it before: all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers.cache_utils import DummyLayer
else:
    try:
        from transformers.cache_utils import DummyLayer
    except ImportError:  # before 5.23, where layers that keep no keys have no class of their own

        class DummyLayer:
            """Of which no cache has any."""


__all__ = ["DummyLayer"]
