"""What a decoder layer's attention function was called with."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn


class Call(NamedTuple):
    """One call of a layer's own attention function, and what it gave.

    ``fleeting``: in a compiled graph, whose memory is used for something else in a moment.
    """

    name: str
    module: nn.Module
    query: Tensor
    key: Tensor
    value: Tensor
    mask: object
    options: dict[str, Any]
    output: Tensor
    fleeting: bool = False
