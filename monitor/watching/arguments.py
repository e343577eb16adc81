"""What a call of ``generate`` is given: what its model reads, and how it is to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

_ENCODED: Final = frozenset({"mm_encoder_outputs"})
"""Inputs that are no tensors: the images as transformers encodes them ahead of decoding."""


def is_input(name: str, value: object) -> bool:
    """Whether an argument of ``generate`` is something its model reads."""
    return isinstance(value, Tensor) or name in _ENCODED


def split(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs among the arguments of ``generate``, and its options."""
    inputs = {name: value for name, value in arguments.items() if is_input(name, value)}
    options = {name: value for name, value in arguments.items() if name not in inputs}
    return inputs, options
