"""A step of decoding, and where ``generate`` asks about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import StoppingCriteria


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What a step of decoding added. All tensors are on the device of the ids.

    Attributes:
        ids: int64 ``[rows, length]``, the prompts and all tokens so far.
        filling: bool ``[rows]``, rows that had ended before: their newest id is no token of theirs.
        ended: bool ``[rows]``, rows that have ended, with this token or before.
    """

    ids: Tensor
    filling: Tensor
    ended: Tensor

    @property
    def tokens(self) -> Tensor:
        """The newest id of each row, int64 ``[rows]``."""
        return self.ids[:, -1]

    @property
    def position(self) -> int:
        """Where that id is in the sequence, prompt included, from 0."""
        return self.ids.shape[1] - 1


class Gate(StoppingCriteria):
    """Where ``generate`` asks after each token whether to go on."""

    def __init__(
        self, after_token: Callable[[Tensor, tuple[Tensor, ...] | None], Tensor], *, pads: bool
    ) -> None:
        self._after_token = after_token
        if pads:
            # generate fills ended rows only if a criterion has this attribute.
            self.eos_token_id = None

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        return self._after_token(input_ids, scores or None)
