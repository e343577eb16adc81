"""When each row of a generation ends: the rules of ``generate``, kept across its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor
from transformers import (
    EosTokenCriteria,
    GenerationConfig,
    MaxLengthCriteria,
    MaxTimeCriteria,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
)

from ..errors import OptionError

OPEN: Final = torch.iinfo(torch.int64).max
"""The length at which a row ended that has not."""


class Finishing:
    """Which rows have ended, and where; rows come alive again when they are cut shorter.

    Args:
        config: all options of ``generate``.
        own: the user's stopping criteria. One of a type that ``generate`` makes itself takes the
            place of that, as it does there.
        end: most tokens of a sequence, prompt included, whoever limits it.
        tokenizer: for stop strings.
        rows: how many rows there are.
        device: where the ids are.
        began: wall-clock time in seconds (``time.time``) that ``max_time`` counts from.

    Attributes:
        lengths: int64 ``[rows]``, the length at which a row ended, :data:`OPEN` if it has not.
        pads: whether ``generate`` fills ended rows with pad tokens.
        handed: criteria that ``generate`` must be given, because it goes by their type.

    Raises:
        OptionError: stop strings without a tokenizer.
    """

    def __init__(
        self,
        config: GenerationConfig,
        *,
        own: Sequence[StoppingCriteria],
        end: int,
        tokenizer: PreTrainedTokenizerBase | None,
        rows: int,
        device: torch.device,
        began: float,
    ) -> None:
        kinds = {type(rule) for rule in own}
        rules: list[Any] = []
        if config.max_time is not None and MaxTimeCriteria not in kinds:
            rules.append(MaxTimeCriteria(config.max_time, initial_timestamp=began))
        if config.stop_strings is not None and StopStringCriteria not in kinds:
            if tokenizer is None:
                raise OptionError(
                    "stop_strings are matched against the tokenizer's vocabulary, none was given. "
                    "Add tokenizer=processor.tokenizer to the options."
                )
            rules.append(StopStringCriteria(tokenizer, config.stop_strings))
        if config.eos_token_id is not None and EosTokenCriteria not in kinds:
            rules.append(EosTokenCriteria(config.eos_token_id))
        # The length is no matter of tensors, and the same whoever limits it.
        self._end = end
        rules += [rule for rule in own if type(rule) is not MaxLengthCriteria]
        self._rules = StoppingCriteriaList(rules)
        self.handed = [rule for rule in own if type(rule) in (MaxLengthCriteria, EosTokenCriteria)]
        self.pads = any(hasattr(rule, "eos_token_id") for rule in self._rules)
        self.lengths = torch.full((rows,), OPEN, dtype=torch.int64, device=device)

    def judge(self, ids: Tensor, scores: tuple[Tensor, ...] | None) -> Tensor:
        """Apply the rules to sequences that grew by a token, int64 ``[rows, length]``.

        Returns:
            Bool ``[rows]``: the rows that have ended.
        """
        length = ids.shape[1]
        here = self.lengths.clamp(max=length)
        if self._rules:
            rules: Any = self._rules  # typed as if scores were one tensor; they are one per step
            self.lengths = torch.where(rules(ids, scores), here, self.lengths)
        if length >= self._end:
            self.lengths = here
        return self.ended(length)

    def ended(self, length: int) -> Tensor:
        """Bool ``[rows]``: the rows that had ended when sequences were this long."""
        return self.lengths.le(length)

    def cut(self, length: int) -> None:
        """Rows that ended past this length have not."""
        self.lengths = self.lengths.masked_fill(self.lengths.gt(length), OPEN)
