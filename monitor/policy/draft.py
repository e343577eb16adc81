"""One row's caption that can be cut back: its tokens, and the events that each of them brought."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

from ...detectors.evidence import Evidence
from ..caption import Caption
from ..events import Event, Mention, Verdict, Word
from .spans import Sentences


class MakeCaption(Protocol):
    """Makes an empty caption."""

    def __call__(self, row: int, *, judged: bool, known: Mapping[int, Verdict]) -> Caption:
        """The caption of a row; not ``judged`` where evidence would be of an intervention."""
        ...


class Draft:
    """A caption on its way, as far as it is written now.

    A draft is never cut itself: :meth:`upto` makes another one, so that the original is at hand
    for as long as it may be wanted back.

    Args:
        row: row of the batch.
        make: makes its caption.
        judged: whether its mentions get verdicts.

    Attributes:
        tokens: ids so far, an end token included.
        evidence: what each of them looked like when it was predicted.
        log: the events that each token brought, itself first.
        closing: the events of an end that came without a token.
        sentences: where its sentences begin.
    """

    def __init__(self, row: int, make: MakeCaption, *, judged: bool = True) -> None:
        self.row = row
        self.tokens: list[int] = []
        self.evidence: list[Evidence | None] = []
        self.log: list[tuple[Event, ...]] = []
        self.closing: tuple[Event, ...] = ()
        self.sentences = Sentences()
        self._make = make
        self._caption = make(row, judged=judged, known={})

    @property
    def text(self) -> str:
        """The text so far."""
        return self._caption.text

    @property
    def ended(self) -> bool:
        """Whether the caption has ended."""
        return self._caption.ended

    def push(
        self,
        token: int,
        evidence: Evidence | None,
        *,
        end: Literal["eos", "length", "stopped"] | None = None,
    ) -> tuple[Event, ...]:
        """Add a token and return the events it brings."""
        events = tuple(self._caption.push(token, evidence, end=end))
        self.tokens.append(token)
        self.evidence.append(evidence)
        self.log.append(events)
        for event in events:
            if isinstance(event, Word):
                self.sentences.word(event)
        return events

    def finish(self, reason: Literal["eos", "length", "stopped"]) -> None:
        """End the caption without a further token."""
        self.closing += tuple(self._caption.finish(reason))

    def upto(self, tokens: int, *, judged: bool = True) -> Draft:
        """Another draft with the first ``tokens`` tokens of this one, their verdicts as they are.

        Args:
            tokens: how many.
            judged: whether the mentions to come get verdicts.
        """
        cut = Draft(self.row, self._make, judged=judged)
        cut.log = self.log[:tokens]
        known = {event.mention: event for event in cut.events() if isinstance(event, Verdict)}
        cut._caption = self._make(self.row, judged=judged, known=known)
        cut.tokens, cut.evidence = self.tokens[:tokens], self.evidence[:tokens]
        for token, evidence in zip(cut.tokens, cut.evidence, strict=True):
            for _ in cut._caption.push(token, evidence):
                pass
        cut.sentences = self.sentences.upto(tokens)
        return cut

    def events(self) -> Iterator[Event]:
        """All events, in order."""
        for events in self.log:
            yield from events
        yield from self.closing

    def mentions(self, start: int = 0) -> list[Mention]:
        """Confirmed mentions whose first token is not before ``start``, in order."""
        return [
            event
            for event in self.events()
            if isinstance(event, Mention) and not event.provisional and event.first_token >= start
        ]

    def words(self) -> Sequence[Word]:
        """The complete words so far."""
        return [event for event in self.events() if isinstance(event, Word)]

    def offset(self, token: int) -> int:
        """The character at which a token begins, or would."""
        if token >= len(self.log):
            return len(self.text)
        first = self.log[token][0]
        return int(getattr(first, "start", 0))
