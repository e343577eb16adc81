"""Attention within compiled graphs: read by operators that a graph carries and runs.

What ``torch.compile`` traces runs once, and the graph that comes of it many times: Python that
watches would either break the graph in two at every layer, or be gone when it runs. An operator of
ours stays. It hands on a copy of the layer's output, which keeps it in the graph and in order, and
while the graph runs it asks who watches in that thread: nobody, and it was a copy of one row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .rows import sinks_of
from .watcher import current

# A CUDA graph would replay the kernels without asking who watches: it is to be cut here instead.
_TAGS = [tag] if (tag := getattr(torch.Tag, "cudagraph_unsafe", None)) is not None else []


@torch.library.custom_op("sightline::attended", mutates_args=(), tags=_TAGS)
def _attended(
    output: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    sinks: Tensor | None,
    bias: Tensor | None,
    number: int,
    name: str,
    scaling: float | None,
    softcap: float | None,
    window: int | None,
    causal: bool | None,
) -> Tensor:
    copy = output.clone()
    watcher = current()
    if watcher is not None and watcher.listening:
        options: dict[str, Any] = {
            "s_aux": sinks,
            "position_bias": bias,
            "scaling": scaling,
            "softcap": softcap,
            "sliding_window": window,
            "is_causal": causal,
        }
        watcher.saw(number, name, query, key, value, mask, options, copy)
    return copy


@torch.library.custom_op("sightline::said", mutates_args=(), tags=_TAGS)
def _said(logits: Tensor) -> Tensor:
    copy = logits.clone()
    watcher = current()
    if watcher is not None and watcher.listening:
        watcher.said(copy)
    return copy


@_attended.register_fake
def _(output: Tensor, *_: object) -> Tensor:
    return torch.empty_like(output)


@_said.register_fake
def _(logits: Tensor) -> Tensor:
    return torch.empty_like(logits)


_attended.register_autograd(lambda _, gradient: (gradient, *[None] * 12))
_said.register_autograd(lambda _, gradient: gradient)


def read(
    module: nn.Module,
    name: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: object,
    options: dict[str, Any],
    output: Tensor,
) -> Tensor:
    """The output of a layer that is being traced, and with it the operator that reads the layer."""
    get = options.get
    copy: Tensor = _attended(
        output,
        query,
        key,
        value,
        mask if isinstance(mask, Tensor) else None,
        sinks_of(options),
        get("position_bias"),
        id(module),
        name,
        get("scaling"),
        get("softcap"),
        get("sliding_window"),
        get("is_causal"),
    )
    return copy


def note_logits(model: nn.Module, args: Any, output: Any) -> None:
    """Forward hook of the whole model: where it is traced, its logits are noted as well."""
    if torch.compiler.is_dynamo_compiling() and isinstance(getattr(output, "logits", None), Tensor):
        output.logits = _said(output.logits)


class StandIn:
    """A module that is being traced, with its own config: some attention functions ask for it."""

    def __init__(self, module: nn.Module, config: Any) -> None:
        self._module = module
        self.config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
