"""A name under which our attention function is found, and which passes for the model's own."""

from __future__ import annotations

import inspect
from functools import cache
from types import FunctionType
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


class TracedAlias(str):
    """The same for ``torch.compile``, whose tracing follows no ``str`` into its own methods.

    Its text is our name, which is what the tracer looks up in a table; the model's own name is
    kept beside it, for comparisons.
    """

    own: str

    __slots__ = ("own",)

    def __new__(cls, own: str) -> TracedAlias:
        """An alias of the model's ``own`` name."""
        found = super().__new__(cls, NAME)
        found.own = own
        return found

    def __hash__(self) -> int:
        return hash(NAME)

    def __eq__(self, other: object) -> bool:
        return other == NAME or other == self.own

    def __ne__(self, other: object) -> bool:
        return not (other == NAME or other == self.own)


def traced(attention: type, own: str) -> str:
    """What a module of class ``attention`` is answered while it is traced; ever the same object.

    Plainly our name, which every version of ``torch.compile`` understands, unless the code of the
    class mentions the model's own one.
    """
    functions = (one for one in vars(attention).values() if isinstance(one, FunctionType))
    constants = [value for one in functions for value in _unwrapped(one).__code__.co_consts]
    known = (one for value in constants for one in (value if isinstance(value, tuple) else [value]))
    return _traced_alias(own) if own in known else NAME


@cache
def _traced_alias(own: str) -> TracedAlias:
    return TracedAlias(own)


def _unwrapped(function: FunctionType) -> FunctionType:
    inner = inspect.unwrap(function)
    return inner if isinstance(inner, FunctionType) else function
