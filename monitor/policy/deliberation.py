"""The state machine behind a policy: from one attempt's outcome to the next move. Pure.

One :class:`Deliberation` accompanies one flagged span. It decides; who decodes, measures and judges
does so elsewhere and comes back with what happened::

    flagged --> try 1 --passed--> replaced
                  | failed
                  v
                try 2 ... --none left, or too dear--> kept | dropped | stopped
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from .policy import AVOID, Intervention, Policy

Failed = Literal["flagged", "same", "collapsed", "budget", "dead end", "unlikely", "error"]
"""Why an attempt was not accepted: an object in it is ``flagged``; it begins like the ``same`` that
was rejected before; it repeats itself or does not end (``collapsed``); the ``budget`` ran out; the
bans left a ``dead end``; a full stop is ``unlikely`` there; an ``error`` was raised."""

Outcome = Literal["replaced", "kept", "dropped", "stopped"]

_LONGEST: Final = 64
"""Tokens after which a span that was shorter counts as one that does not end."""


@dataclass(frozen=True, slots=True)
class Redo:
    """Decode the span again, under an intervention."""

    intervention: Intervention


@dataclass(frozen=True, slots=True)
class Settle:
    """Nothing further is tried."""

    outcome: Outcome
    reason: str


class Deliberation:
    """The moves for one flagged span.

    Args:
        policy: whose parameters count.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._tried = 0
        self._asked: set[Intervention] = set()
        self._most_alpha = self._most_contrast = float("inf")
        self._latest: Intervention | None = None
        self._unclosed = False

    @property
    def tried(self) -> int:
        """Tries so far."""
        return self._tried

    def first(self, *, affordable: bool, dropped: int = 0) -> Redo | Settle:
        """What to do about the flag.

        Args:
            affordable: whether the budget allows to throw the span away and go on.
            dropped: sentences of this caption that were dropped before.
        """
        policy = self._policy
        if policy.act == "stop":
            return Settle("stopped", "the policy ends captions at a flag")
        if policy.act == "drop":
            if not affordable:
                return Settle("stopped", "the budget is spent")
            if dropped >= policy.max_tries:
                return Settle("stopped", f"{dropped} sentences were dropped before")
            return Settle("dropped", "the policy drops flagged sentences")
        return self._next(affordable=affordable)

    def failed(self, why: Failed, *, affordable: bool) -> Redo | Settle:
        """What to do after the latest try was not accepted."""
        if why == "error":
            # Whatever broke, the original is at hand: nothing more is risked.
            return Settle("kept", "an error was raised while it was decoded again")
        if self._unclosed:
            return Settle("kept", "its sentence could be neither ended nor written on without it")
        if why == "collapsed" and self._latest is not None:
            self._most_alpha = self._latest.alpha / 2 or self._most_alpha
            self._most_contrast = self._latest.contrast / 2 or self._most_contrast
        return self._next(affordable=affordable and why != "budget")

    def unclosed(self, *, affordable: bool) -> Redo | Settle:
        """What to do where a sentence that must not be taken back cannot be ended as it stands.

        It is written on without what was flagged, where that was not tried yet; nobody wants to
        read half a sentence.
        """
        self._unclosed = True
        if self._policy.act == "redecode" or not affordable:
            return Settle("kept", "its sentence cannot be ended before it")
        self._tried += 1
        self._latest = AVOID
        return Redo(AVOID)

    def _next(self, *, affordable: bool) -> Redo | Settle:
        if not affordable:
            return self._otherwise("the budget is spent", affordable=False)
        while True:
            intervention = self._policy.intervention(self._tried)
            if intervention is None:
                return self._otherwise(f"none of {self._tried} tries passed", affordable=True)
            self._tried += 1
            intervention = replace(
                intervention,
                alpha=min(intervention.alpha, self._most_alpha),
                contrast=min(intervention.contrast, self._most_contrast),
            )
            # What is avoided grows from try to try; without that a try would only repeat another.
            if intervention.avoid or intervention not in self._asked:
                self._asked.add(intervention)
                self._latest = intervention
                return Redo(intervention)

    def _otherwise(self, reason: str, *, affordable: bool) -> Settle:
        match self._policy.otherwise:
            case "keep":
                return Settle("kept", reason)
            case "drop" if affordable:
                return Settle("dropped", reason)
            case _:
                return Settle("stopped", reason)


def collapsed(tokens: Sequence[int], *, before: int) -> bool:
    """Whether a span repeats itself or does not come to its end.

    Args:
        tokens: the span so far.
        before: how many tokens the original had.
    """
    if len(tokens) > max(_LONGEST, 3 * before):
        return True
    if len(tokens) >= 4 and len(set(tokens[-4:])) == 1:
        return True
    runs = Counter(zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False))
    return any(count >= 3 for count in runs.values())
