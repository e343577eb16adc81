"""A model in evaluation mode for a while, and then as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn

# Models that count positions in three dimensions keep in themselves what a call found out about
# its prompt, for the passes that follow: another call may be in the middle of its own.
_KEPT: Final = "rope_deltas"


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradient within the block; afterwards, whatever is raised, each
    module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    kept: list[tuple[Any, Any]] = [
        (module, vars(module)[_KEPT]) for module in model.modules() if _KEPT in vars(module)
    ]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
        for owner, value in kept:
            setattr(owner, _KEPT, value)
