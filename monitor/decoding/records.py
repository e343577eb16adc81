"""What ``generate`` records of each step (scores, logits and the like), joined over its calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor
from transformers import GenerationConfig

from .rollback import RollbackError

_NAMES: Final = ("scores", "logits", "attentions", "hidden_states")


class Records:
    """One entry per step and kind, of the kinds that were asked for.

    Args:
        config: all options of ``generate``.
        first: length of the prompt.
    """

    def __init__(self, config: GenerationConfig, *, first: int) -> None:
        asked = bool(config.return_dict_in_generate)
        self._names = tuple(name for name in _NAMES if asked and getattr(config, f"output_{name}"))
        self._first = first
        self._length = first
        self._values: dict[str, tuple[Any, ...]] = dict.fromkeys(self._names, ())

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """The scores so far, float32 ``[rows, vocabulary]`` each."""
        return self._values.get("scores", ())

    def of(self, name: str) -> tuple[Any, ...] | None:
        """What was recorded of a kind, one entry per step; ``None`` if it was not asked for."""
        return self._values.get(name)

    def as_output(self) -> dict[str, tuple[Any, ...] | None]:
        """All kinds, as the output of ``generate`` names them."""
        return {name: self.of(name) for name in _NAMES}

    def add(
        self, output: Any, *, length: int, replaced: Mapping[int, tuple[Tensor, Tensor]]
    ) -> None:
        """Append a segment.

        Args:
            output: what ``generate`` returned.
            length: of the sequences now.
            replaced: per position, which rows were forced (bool ``[rows, 1]``) and the scores
                before.
        """
        start, self._length = self._length, length
        for name in self._names:
            values = tuple(getattr(output, name))
            if name == "scores":
                values = tuple(
                    _unforced(scores, replaced.get(start + index))
                    for index, scores in enumerate(values)
                )
            self._values[name] += values

    def cut(self, length: int) -> None:
        """Forget what was recorded past a length."""
        self._length = min(self._length, length)
        kept = self._length - self._first
        self._values = {name: values[:kept] for name, values in self._values.items()}

    def check(self, length: int) -> None:
        """Make sure that nothing is missing.

        Raises:
            RollbackError: a segment broke off, and what it recorded died with the call.
        """
        if self._names and self._length < length:
            raise RollbackError(
                f"The segment that broke off took its scores or logits with it. Call "
                f"rollback({self._length}) first."
            )


def _unforced(scores: Tensor, replaced: tuple[Tensor, Tensor] | None) -> Tensor:
    if replaced is None:
        return scores
    forced, given = replaced
    return torch.where(forced, given, scores)
