"""One row's caption that can be cut back: its tokens, and the events that each of them brought."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, Protocol

from ...detectors.evidence import Evidence
from ..events import Event, Mention, Verdict, Word
from ..watching.caption import Caption
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
        words: the complete words so far.
        mentions: the confirmed mentions so far.
    """

    def __init__(self, row: int, make: MakeCaption, *, judged: bool = True) -> None:
        self.row = row
        self.tokens: list[int] = []
        self.evidence: list[Evidence | None] = []
        self.log: list[tuple[Event, ...]] = []
        self.closing: tuple[Event, ...] = ()
        self.sentences = Sentences()
        self.words: list[Word] = []
        self.mentions: list[Mention] = []
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

    @property
    def undecided(self) -> int | None:
        """The first token that may belong to a mention without a verdict; ``None`` if none does."""
        return self._caption.undecided

    @property
    def complete(self) -> int:
        """The token after the last that is part of complete words alone."""
        if not self.words:
            return 0
        last = self.words[-1]
        # Its last token may hold the beginning of the next word too.
        return last.last_token + int(self.offset(last.last_token + 1) <= last.end)

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
        self._follow(events)
        for event in events:
            if isinstance(event, Word):
                self.sentences.word(event)
        return events

    def _follow(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Word):
                self.words.append(event)
            elif isinstance(event, Mention) and not event.provisional:
                self.mentions.append(event)

    def finish(self, reason: Literal["eos", "length", "stopped"]) -> None:
        """End the caption without a further token."""
        events = tuple(self._caption.finish(reason))
        self.closing += events
        self._follow(events)

    def catch_up(self) -> None:
        """Ask for the verdicts that were put off; what breaks off now has them too."""
        if self.log:
            self.log[-1] += self._caption.overdue()

    def upto(self, tokens: int, *, judged: bool = True) -> Draft:
        """Another draft with the first ``tokens`` tokens of this one, their verdicts as they are.

        Args:
            tokens: how many.
            judged: whether the mentions to come get verdicts.
        """
        cut = Draft(self.row, self._make, judged=judged)
        cut.log = self.log[:tokens]
        cut._follow(cut.events())
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

    def offset(self, token: int) -> int:
        """The character at which a token begins, or would."""
        if token >= len(self.log):
            return len(self.text)
        first = self.log[token][0]
        return int(getattr(first, "start", 0))
