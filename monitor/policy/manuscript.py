"""One row under a policy, as it stands: its draft, what it must not say, and how it ended.

It is cut, banned from words, asked to go on and stopped by its :class:`.Rewriting`, which knows
why.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Literal

from ...detectors.evidence import Evidence
from ..decoding.forcing import Ban
from ..events import Action, Event
from .draft import Draft
from .release import Release

_FOREVER: Final = 2**62


class Manuscript:
    """A caption that can be taken back in part, and what was done to it.

    Args:
        draft: empty.
        prompt: tokens of the padded prompt.
        eos: token ids that end a caption.
        release: where its events go, if anywhere.

    Attributes:
        draft: the caption as it is now.
        actions: what was done, in order.
        ended_at: when it ended, on the clock of ``time.perf_counter``.
        passes: tokens decoded for it, with those that were taken back.
    """

    def __init__(
        self,
        draft: Draft,
        *,
        prompt: int,
        eos: frozenset[int],
        release: Release | None = None,
    ) -> None:
        self.draft = draft
        self.actions: list[Action] = []
        self.ended_at: float | None = None
        self.passes = 0
        self._prompt = prompt
        self._eos = eos
        self._release = release
        self._bans: list[Ban] = []
        self._raw: list[int] | None = None  # all that is said of a stopped row, behind the scenes
        self._natural: tuple[int, Evidence | None] | None = None  # the end the model would have put
        self._natural_place = -1

    @property
    def stopped(self) -> bool:
        """Whether its end was the policy's doing."""
        return self._raw is not None

    @property
    def script(self) -> list[int]:
        """All tokens that are known of the row."""
        return self.draft.tokens if self._raw is None else self._raw

    @property
    def bans(self) -> list[Ban]:
        """What the row must not say; a stopped one may say anything."""
        return self._bans if self._raw is None else []

    def push(
        self,
        token: int,
        evidence: Evidence | None,
        *,
        end: Literal["eos", "length", "stopped"] | None,
    ) -> Sequence[Event]:
        """A token that was decoded for the first time; the events that it brought."""
        events = self.draft.push(token, evidence, end=end)
        if end is not None:
            self.ended_at = time.perf_counter()
        return events

    def replace(self, draft: Draft, token: int) -> int:
        """Go on with another draft, decoded anew from ``token`` on; returns that."""
        self._retract(draft, token)
        self.draft = draft
        if not draft.ended:
            self.ended_at = None
        return token

    def go_on(self) -> int:
        """Take the end token back and ban it there; the token to decode again."""
        end = len(self.draft.tokens) - 1
        self._natural = (self.draft.tokens[-1], self.draft.evidence[-1])
        self._natural_place = end
        place = self._prompt + end
        self._bans.append(Ban(self.draft.row, self._eos, place, place + 1))
        return self.replace(self.draft.upto(end), end)

    def stop(self, draft: Draft, raw: Sequence[int]) -> None:
        """End the caption with a draft; its row is ended where it is, and cut in what is returned.

        Args:
            draft: what is left of the caption.
            raw: the tokens of the row in the batch, also past the caption's end.
        """
        if self.draft.ended:
            self._raw = list(raw[: len(self.draft.tokens)])
        else:
            self._raw = [*raw, min(self._eos)]
        self._retract(draft, len(draft.tokens))
        if self._natural is not None and self._natural_place == len(draft.tokens):
            draft.push(*self._natural, end="eos")
        else:
            draft.finish("stopped")
        self.draft = draft
        self.ended_at = time.perf_counter()

    def without(self, tokens: set[int], start: int) -> Ban:
        """What keeps tokens out of the row from its token ``start`` on."""
        return Ban(self.draft.row, frozenset(tokens), self._prompt + start, _FOREVER)

    def ban(self, tokens: set[int], start: int) -> None:
        """Keep tokens out of the row from its token ``start`` on."""
        self._bans.append(self.without(tokens, start))

    def banned(self, position: int) -> bool:
        """Whether something is kept out at a position of the sequence, the prompt counted."""
        return any(ban.start <= position < ban.stop for ban in self._bans)

    def add(self, action: Action) -> None:
        """Write down what was done."""
        self.actions.append(action)
        if self._release is not None:
            self._release.action(action)

    def show(self, token: int, *, settled: bool) -> None:
        """Send on what may be seen by now.

        Args:
            token: what comes before it will not be taken back.
            settled: whether nothing will be, where the caption has ended.
        """
        if self._release is None:
            return
        whole = self._release.show == "live" or (self.draft.ended and settled)
        self._release.upto(self.draft, len(self.draft.tokens) if whole else token)

    def _retract(self, draft: Draft, token: int) -> None:
        if self._release is not None:
            self._release.retract(draft, token)
