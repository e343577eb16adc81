"""One caption as it is written: tokens in, events out. No model, no tensors, no threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from ...detectors.evidence import Evidence
from ...detectors.svar import LayerRange
from ...detectors.verdict import Calibration, Judgement
from ..events import End, Event, Mention, Token, Verdict, Word
from ..language.nouns import NounSpotter
from ..language.words import TokenStream, WordSplitter
from ..report import svar_of
from .observed import MentionObserver


class Caption:
    """Turns the tokens of one row into its events.

    Args:
        row: row of the batch.
        stream: this caption's incremental detokeniser.
        words: this caption's word splitter.
        nouns: this caption's noun spotter.
        layers: what SVAR sums over.
        calibration: judges the mentions; without one they get their SVAR and are never flagged.
            One that reads the naming row is asked when that row is there, one token after the
            mention's first; where the caption ends before, it judges with what is known.
        known: verdicts by mention that need not be asked for again, because the tokens that led
            to them are the same.
        together: judge mentions that cannot be flagged only with the next that can, or at the end:
            for who waits for flags alone.
    """

    def __init__(
        self,
        *,
        row: int,
        stream: TokenStream,
        words: WordSplitter,
        nouns: NounSpotter,
        layers: LayerRange,
        calibration: Calibration | None = None,
        known: Mapping[int, Verdict] = MappingProxyType({}),
        together: bool = False,
    ) -> None:
        self.row = row
        self.ended = False
        self._stream = stream
        self._words = words
        self._nouns = nouns
        self._layers = layers
        self._calibration = calibration
        self._known = known
        self._together = together
        self._observer = MentionObserver()
        self._waiting: deque[Mention] = deque()
        self._tokens = 0
        self._length = 0

    @property
    def tokens(self) -> int:
        """Tokens so far, an end token included."""
        return self._tokens

    @property
    def text(self) -> str:
        """The text so far."""
        return self._stream.text

    @property
    def undecided(self) -> int | None:
        """The first token that may belong to a mention of which it is open whether it is flagged.

        ``None`` if there is none among the complete words.
        """
        objects = self._calibration is not None and self._calibration.scope == "objects"
        word = self._nouns.undecided(objects=objects)
        waits = [mention for mention in self._waiting if self._flaggable(mention)][:1]
        return min((one.first_token for one in (word, *waits) if one is not None), default=None)

    def overdue(self) -> tuple[Verdict, ...]:
        """The verdicts that wait for others to be asked for."""
        return tuple(self._verdicts(overdue=True))

    def push(
        self,
        token: int,
        evidence: Evidence | None,
        *,
        end: Literal["eos", "length", "stopped"] | None = None,
    ) -> Iterator[Event]:
        """The events of one more token, in order; with ``end``, it is the caption's last."""
        index = self.tokens
        text = self._stream.push(token)
        if end is not None:
            # Bytes that were waiting for the rest of their character come out with the last token.
            text += self._stream.finish()
        self._observer.token(evidence)
        self._tokens += 1
        start = self._length
        self._length += len(text)
        yield Token(self.row, index, token, text, start, self._length, evidence)
        yield from self._verdicts()
        yield from self._spot(index, text)
        if end is not None:
            yield from self.finish(end)

    def finish(self, reason: Literal["eos", "length", "stopped"]) -> Iterator[Event]:
        """The events of the caption's end. A second call has none."""
        if self.ended:
            return
        self.ended = True
        rest = self._stream.finish()
        if rest:
            yield from self._spot(max(self.tokens - 1, 0), rest)
        for word in self._words.finish():
            yield from self._read(word)
        yield from self._found(self._nouns.finish())
        yield from self._verdicts(last=True)
        yield End(self.row, self.text, self.tokens, reason)

    def _spot(self, index: int, text: str) -> Iterator[Event]:
        for word in self._words.push(index, text):
            yield from self._read(word)

    def _read(self, word: Word) -> Iterator[Event]:
        self._observer.word(word)
        yield word
        yield from self._found(self._nouns.push(word))

    def _found(self, mentions: tuple[Mention, ...]) -> Iterator[Event]:
        for mention in mentions:
            yield mention
            if not mention.provisional:
                self._observer.mention(mention)
                self._waiting.append(mention)
                yield from self._verdicts()

    def _verdicts(self, *, last: bool = False, overdue: bool = False) -> Iterator[Verdict]:
        """Verdicts on the mentions whose evidence is complete, or on all once nothing follows."""
        waits = self._calibration is not None and self._calibration.timing == "naming"
        ready = 0
        for place, mention in enumerate(self._waiting, start=1):
            if waits and not last and not self._observer.named(mention):
                break
            if last or overdue or not self._together or self._flaggable(mention):
                ready = place
        if ready:
            yield from self._judged([self._waiting.popleft() for _ in range(ready)])

    def _judged(self, mentions: Sequence[Mention]) -> Iterator[Verdict]:
        """Verdicts on some mentions, all asked for in one go: a call costs more than its rows."""
        asked = [mention.index for mention in mentions if mention.index not in self._known]
        seen = {
            mention.index: evidence
            for mention in mentions
            if mention.index in asked and (evidence := self._observer.evidence(mention)) is not None
        }
        judged: dict[int, Judgement] = {}
        if self._calibration is not None and seen:
            found = self._calibration.judge(list(seen.values()))
            judged = dict(zip(seen, found, strict=True))
        for mention in mentions:
            index, evidence = mention.index, seen.get(mention.index)
            if index in self._known:
                yield self._known[index]
                continue
            svar = None if evidence is None else svar_of(evidence.predicting, self._layers)
            if index not in judged:
                yield Verdict(self.row, index, svar, None, None, False)
                continue
            judgement = judged[index]
            yield Verdict(
                row=self.row,
                mention=index,
                svar=svar,
                score=judgement.score,
                threshold=judgement.threshold,
                flagged=judgement.flagged and self._flaggable(mention),
                probability=judgement.probability,
                prior=judgement.prior,
                evidence=judgement.evidence,
            )

    def _flaggable(self, mention: Mention) -> bool:
        # A noun that names nothing visible cannot be a hallucinated object, and a calibration on
        # objects promises nothing about other nouns.
        return (
            self._calibration is not None
            and mention.visible
            and (mention.object is not None or self._calibration.scope == "nouns")
        )
