"""What a reader gets to see, and when: at once, or only what will not be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ..events import Action, End, Event, Mention, Retract, Token, Verdict, Word
from .draft import Draft

Show = Literal["hold", "live"]
"""``hold``: text comes when it is settled and is never taken back. ``live``: text comes
at once, and :class:`~sightline.monitor.events.Retract` events say what is void. Both end alike."""


class Release:
    """Sends one row's events on, each of them once.

    Args:
        row: row of the batch.
        show: when text is sent.
        sink: where to.
    """

    def __init__(self, row: int, show: Show, sink: Callable[[Event], None]) -> None:
        self.show = show
        self._row = row
        self._sink = sink
        self._tokens = self._words = self._mentions = self._verdicts = 0
        self._upto = 0
        self._ended = False

    @property
    def tokens(self) -> int:
        """Tokens that were sent."""
        return self._tokens

    def upto(self, draft: Draft, tokens: int) -> None:
        """Send what is known of the first ``tokens`` tokens."""
        over = tokens >= len(draft.tokens)
        for events in draft.log[self._upto :]:
            for event in events:
                if over or not isinstance(event, End):
                    self._send(event, tokens)
        self._upto = max(tokens, self._upto)
        if over:
            for event in draft.closing:
                self._send(event, tokens)
            self._ended = draft.ended

    def retract(self, draft: Draft, tokens: int) -> None:
        """Take back what was sent past the first ``tokens`` tokens of what was sent."""
        if self._tokens <= tokens:
            return
        kept = [event for events in draft.log[:tokens] for event in events]
        self._words = sum(isinstance(event, Word) for event in kept)
        self._mentions = sum(isinstance(e, Mention) and not e.provisional for e in kept)
        self._verdicts = sum(isinstance(event, Verdict) for event in kept)
        self._tokens = self._upto = tokens
        self._ended = False
        self._sink(Retract(self._row, tokens, draft.offset(tokens), self._words, self._mentions))

    def action(self, action: Action) -> None:
        """Send what a policy did."""
        self._sink(action)

    def _send(self, event: Event, tokens: int) -> None:
        match event:
            case Token():
                new, self._tokens = _counted(event.index, self._tokens, event.index < tokens)
            case Word():
                new, self._words = _counted(event.index, self._words, event.last_token < tokens)
            case Mention(provisional=True):
                new = self.show == "live" and event.last_token < tokens
            case Mention():
                known = event.last_token < tokens
                new, self._mentions = _counted(event.index, self._mentions, known)
            case Verdict():
                known = event.mention < self._mentions
                new, self._verdicts = _counted(event.mention, self._verdicts, known)
            case _:
                new = not self._ended
        if new:
            self._sink(event)


def _counted(index: int, sent: int, known: bool) -> tuple[bool, int]:
    """Whether to send the event of an index now, and how many of its kind are sent then."""
    new = known and index >= sent
    return new, index + 1 if new else sent
