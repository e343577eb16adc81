"""A name under which our attention function is found, and which passes for the model's own."""

from __future__ import annotations

from typing import Final

NAME: Final = "sightline"


class Alias(str):
    """What a watched module's config answers when asked for its attention implementation.

    Some models compare the name: ``if config._attn_implementation in ("eager", "sdpa")`` they hand
    their own masks to the attention function. They must go on doing so. In text and in comparison
    this is therefore the model's own name; in a table of functions, which asks for the hash first,
    it is ours.
    """

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(NAME)

    def __eq__(self, other: object) -> bool:
        return other == NAME or str.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other
