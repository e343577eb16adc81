"""One caption as it is written: tokens in, events out. No model, no tensors, no threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ..detectors.evidence import Evidence
from ..detectors.svar import LayerRange
from ..detectors.verdict import Calibration
from .events import End, Event, Mention, Token, Verdict
from .nouns import NounSpotter
from .report import svar_of
from .words import TokenStream, WordSplitter


class Caption:
    """Turns the tokens of one row into its events.

    Args:
        row: row of the batch.
        stream: this caption's incremental detokeniser.
        words: this caption's word splitter.
        nouns: this caption's noun spotter.
        layers: what SVAR sums over.
        calibration: judges the mentions; without one they get their SVAR and are never flagged.
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
    ) -> None:
        self.row = row
        self.ended = False
        self._stream = stream
        self._words = words
        self._nouns = nouns
        self._layers = layers
        self._calibration = calibration
        self._evidence: list[Evidence | None] = []
        self._length = 0

    @property
    def tokens(self) -> int:
        """Tokens so far, an end token included."""
        return len(self._evidence)

    @property
    def text(self) -> str:
        """The text so far."""
        return self._stream.text

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
        self._evidence.append(evidence)
        start = self._length
        self._length += len(text)
        yield Token(self.row, index, token, text, start, self._length, evidence)
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
            yield word
            yield from self._judged(self._nouns.push(word))
        yield from self._judged(self._nouns.finish())
        yield End(self.row, self.text, self.tokens, reason)

    def _spot(self, index: int, text: str) -> Iterator[Event]:
        for word in self._words.push(index, text):
            yield word
            yield from self._judged(self._nouns.push(word))

    def _judged(self, mentions: tuple[Mention, ...]) -> Iterator[Event]:
        for mention in mentions:
            yield mention
            if not mention.provisional:
                yield self._verdict(mention)

    def _verdict(self, mention: Mention) -> Verdict:
        evidence = self._evidence[mention.first_token]
        value = None if evidence is None else svar_of(evidence, self._layers)
        if evidence is None or value is None or self._calibration is None:
            return Verdict(self.row, mention.index, value, None, None, False)
        (judgement,) = self._calibration.judge([evidence])
        return Verdict(
            row=self.row,
            mention=mention.index,
            svar=value,
            score=judgement.score,
            threshold=judgement.threshold,
            # A noun that names nothing visible cannot be a hallucinated object.
            flagged=judgement.flagged and mention.visible,
        )
