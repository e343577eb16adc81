"""Tokens that must come, and tokens that must not: what a re-decoded row is told, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessor

from ..errors import SightlineError
from ..watching.adapters import signed


class DeadEndError(SightlineError, ArithmeticError):
    """Bans, together with the other processors, left a row without any token to pick.

    Attributes:
        row: row of the batch, from 0.
        position: index in the sequence, prompt included, of the token that could not be picked.
    """

    def __init__(self, *, row: int, position: int) -> None:
        super().__init__(
            f"A row must have a token left to pick; row {row} has none at position {position}: "
            f"what the bans leave, other logits processors rule out. Ban fewer tokens."
        )
        self.row = row
        self.position = position


@dataclass(frozen=True, slots=True)
class Ban:
    """Tokens that a row may not have at some positions.

    Attributes:
        row: row of the batch, from 0.
        tokens: the token ids.
        start: first position, an index in the sequence with the prompt.
        stop: position after the last.
    """

    row: int
    tokens: frozenset[int]
    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.row < 0 or not 0 <= self.start < self.stop:
            raise ValueError(
                f"A ban must name a row and at least one position, was: row {self.row}, positions "
                f"{self.start} to {self.stop}."
            )
        if not self.tokens or min(self.tokens) < 0:
            raise ValueError(f"A ban must name token ids of at least 0, was: {set(self.tokens)}.")


def check_bans(bans: Iterable[Ban], *, rows: int) -> tuple[Ban, ...]:
    """The bans, if all are of rows of the batch.

    Raises:
        ValueError: one is not.
    """
    found = tuple(bans)
    for ban in found:
        if ban.row >= rows:
            raise ValueError(f"A ban must name one of {rows} rows, was: {ban.row}.")
    return found


def check_force(force: Tensor, *, rows: int, room: int) -> None:
    """Refuse tokens that cannot be forced.

    Args:
        force: int64 ``[rows, n]``, -1 where a row is free.
        rows: of the batch.
        room: tokens that are left of the length limit.

    Raises:
        ValueError: they do not fit the batch, or what is left.
    """
    if force.ndim != 2 or len(force) != rows or force.dtype != torch.int64:
        raise ValueError(
            f"force must be int64 [{rows} rows, n], was: {force.dtype} {tuple(force.shape)}."
        )
    if force.shape[1] > room:
        raise ValueError(
            f"force must fit into the {room} tokens that are left, had: {force.shape[1]}."
        )


class Forcing(LogitsProcessor):
    """The last of the processors that a user can place: bans first, then what is forced.

    A forced token wins over a ban. Rows that are neither forced nor banned keep their scores, bit
    for bit. Under sampling, ``generate`` puts temperature, top-k and the like after all processors
    it is given: a forced token is the only one left and comes through them.

    Args:
        keep: keep the scores that are replaced.

    Attributes:
        bans: in force until others are set.
        fill: a length, and what rows that ended before must have there: int64 ``[rows]``, -1 in
            the others.
        replaced: by position, which rows were forced (bool ``[rows, 1]``), and the scores before.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.bans: tuple[Ban, ...] = ()
        self.fill: tuple[int, Tensor] | None = None
        self.replaced: dict[int, tuple[Tensor, Tensor]] = {}
        self._keep = keep
        self._tokens: Tensor | None = None
        self._start = 0
        self._asked: list[bool] = []

    def force(self, tokens: Tensor | None, *, start: int) -> None:
        """Force ``tokens``, int64 ``[rows, n]`` with -1 where a row is free, from ``start`` on."""
        self._tokens, self._start = tokens, start
        self._asked = [] if tokens is None else tokens.ge(0).any(dim=0).tolist()

    def pending(self, length: int) -> Tensor | None:
        """What is still to be forced past ``length``, int64 ``[rows, n]`` or ``None``."""
        if self._tokens is None or self._start + self._tokens.shape[1] <= length:
            return None
        return self._tokens[:, max(length - self._start, 0) :]

    @signed
    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        length = input_ids.shape[1]
        tokens = self._column(length)
        bans = [ban for ban in self.bans if ban.start <= length < ban.stop]
        given = scores
        if bans:
            scores = _banned(scores, bans, tokens, position=length)
        if tokens is None:
            return scores
        forced = tokens.ge(0)[:, None]
        if self._keep:
            self.replaced[length] = (forced, given)
        only = torch.full_like(scores, -torch.inf)
        only.scatter_(1, tokens.clamp(min=0)[:, None], 0.0)
        return torch.where(forced, only, scores)

    def _column(self, length: int) -> Tensor | None:
        """The tokens to force at a position, int64 ``[rows]`` with -1 where a row is free."""
        index, column = length - self._start, None
        if self._tokens is not None and 0 <= index < len(self._asked) and self._asked[index]:
            column = self._tokens[:, index]
        if self.fill is not None and self.fill[0] == length:
            filling = self.fill[1]
            column = filling if column is None else torch.where(filling.ge(0), filling, column)
        return column


def _banned(scores: Tensor, bans: Sequence[Ban], tokens: Tensor | None, *, position: int) -> Tensor:
    scores = scores.clone()
    for ban in bans:
        scores[ban.row, torch.tensor(sorted(ban.tokens), device=scores.device)] = -torch.inf
    best = scores.amax(dim=1).tolist()
    for row in {ban.row for ban in bans}:
        free = tokens is None or int(tokens[row]) < 0
        if free and best[row] == -torch.inf:
            raise DeadEndError(row=row, position=position)
    return scores
