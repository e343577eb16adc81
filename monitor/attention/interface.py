"""How the tap gets between a model and its attention function, and out again without a trace.

A transformers attention module looks its function up by the name in its config, at every call. A
watched module therefore gets a view of its config that answers with our name, but only in a
context (thread) whose own watcher is open; everywhere else the view answers as the config does.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from ..errors import ModelError
from . import compiled
from .alias import NAME, Alias, traced
from .watcher import Attention, current

_NAME = NAME

_LOCK = threading.Lock()


class _ConfigView:
    """A module's config, but for the name of its attention function while it is watched.

    Copies and pickles are those of the config itself, so a model copied or saved while it is
    being watched is an ordinary model.
    """

    __slots__ = (
        "_sightline_alias",
        "_sightline_config",
        "_sightline_module",
        "_sightline_name",
        "_sightline_own",
        "_sightline_traced",
        "_sightline_users",
    )

    _sightline_alias: Alias
    _sightline_config: Any
    _sightline_name: str
    _sightline_module: nn.Module
    _sightline_own: Attention
    _sightline_traced: str
    _sightline_users: int

    def __init__(self, module: nn.Module) -> None:
        config: Any = module.config
        for name, value in (
            ("_sightline_config", config),
            ("_sightline_module", module),
            ("_sightline_name", config._attn_implementation),
            ("_sightline_alias", Alias(config._attn_implementation)),
            ("_sightline_traced", traced(type(module), config._attn_implementation)),
            ("_sightline_own", _own_attention(module, config._attn_implementation)),
            ("_sightline_users", 0),
        ):
            object.__setattr__(self, name, value)

    @property
    def _attn_implementation(self) -> str:
        if torch.compiler.is_dynamo_compiling():
            return self._sightline_traced  # what is compiled serves every watcher, and none
        watcher = current()
        if watcher is None:
            name: str = self._sightline_config._attn_implementation
            return name
        if watcher.listening and watcher.watches(self._sightline_module):
            return self._sightline_alias
        return self._sightline_name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sightline_config, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._sightline_config, name, value)

    def __copy__(self) -> Any:
        return copy.copy(self._sightline_config)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self._sightline_config, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._sightline_config.__reduce_ex__(protocol)


def attach(modules: Iterable[nn.Module]) -> None:
    """Let ``modules`` be watched. All or none; counted, so each needs one :func:`detach`.

    Raises:
        ModelError: if a module's own attention function cannot be found.
    """
    done: list[nn.Module] = []
    with _LOCK:
        try:
            for module in modules:
                config: Any = module.config
                if type(config) is not _ConfigView:
                    config = _ConfigView(module)
                    module.config = config
                _count(config, 1)
                done.append(module)
        except BaseException:
            _release(done)
            raise


def detach(modules: Iterable[nn.Module]) -> None:
    """Undo one :func:`attach`; the last one puts the very same config back."""
    with _LOCK:
        _release(modules)


def _release(modules: Iterable[nn.Module]) -> None:
    for module in modules:
        view: Any = module.config
        # Somebody may have given the module another config meanwhile: that one is theirs.
        if type(view) is _ConfigView:
            _count(view, -1)
            if view._sightline_users == 0:
                module.config = view._sightline_config


def _count(view: _ConfigView, by: int) -> None:
    object.__setattr__(view, "_sightline_users", view._sightline_users + by)


def _own_attention(module: nn.Module, name: str | None) -> Attention:
    """The function the module itself would look up under ``name``."""
    scope = inspect.unwrap(type(module).forward).__globals__
    eager = scope.get("eager_attention_forward")
    registry: Any = scope["ALL_ATTENTION_FUNCTIONS"]
    own: Attention | None = registry.get_interface(name, eager)
    if own is None:
        raise ModelError(
            f"{type(module).__name__} must have an attention function to delegate to; none is "
            f"known for attn_implementation={name!r}. Load the model with "
            f'attn_implementation="sdpa".'
        )
    return own


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: object,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """The function registered with transformers: the open watcher's, or the model's own.

    What ``torch.compile`` traces is always the model's own, and an operator that asks at run time
    who watches: see :mod:`.compiled`.
    """
    view: Any = module.config
    own: Attention = view._sightline_own
    name: str = view._sightline_name
    if torch.compiler.is_dynamo_compiling():
        # FlashAttention asks the config which kernel it is: it must see its own name.
        asks = name not in ("sdpa", "eager", "flex_attention")
        seen: Any = compiled.StandIn(module, view._sightline_config) if asks else module
        output, weights = own(seen, query, key, value, attention_mask, **options)
        output = compiled.read(module, name, query, key, value, attention_mask, options, output)
        return output, weights
    watcher = current()
    if watcher is None or not watcher.listening:
        return own(module, query, key, value, attention_mask, **options)
    return watcher.attend(own, name, module, query, key, value, attention_mask, options)


AttentionInterface.register(_NAME, _attend)
