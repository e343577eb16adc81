"""The captions of a batch, read when they are written: first what they name, then how it looked."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from torch import Tensor

from ...monitor.events import Mention, Word
from ...monitor.language.lexicon import Lexicon
from ...monitor.language.words import Detokenizer, WordSplitter
from ...monitor.watching.observed import MentionObserver
from ...monitor.watching.recording import Recorder, Transcript
from ..objects.labelling import find_objects
from .collected import CollectedCaption, ImageFacts, collect


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """One caption as text."""

    transcript: Transcript
    text: str
    words: Sequence[Word]
    mentions: Sequence[Mention]


class CaptionReader:
    """Finds in recorded captions what the monitor finds while they are written.

    Only the tokens that name an object, and the one after each, are measured.

    Args:
        detokenizer: of the model.
        lexicon: which words name which object.
    """

    def __init__(self, detokenizer: Detokenizer, lexicon: Lexicon) -> None:
        self._detokenizer = detokenizer
        self._lexicon = lexicon

    def captions(
        self,
        recorder: Recorder,
        sequences: Tensor,
        images: Sequence[ImageFacts],
        annotated: Set[str],
    ) -> list[CollectedCaption]:
        """The captions of a call of ``generate``, one per image.

        Args:
            recorder: what recorded it.
            sequences: what it returned.
            images: of each row, its image.
            annotated: canonical names of all objects that the annotators looked for.
        """
        found = [self._read(one) for one in recorder.transcripts(sequences)]
        wanted = [
            (row, step)
            for row, one in enumerate(found)
            for step in sorted({m.first_token + i for m in one.mentions for i in (0, 1)})
            if step < len(one.transcript.tokens)
        ]
        measured = recorder.measure([row for row, _ in wanted], [step for _, step in wanted])
        evidence = {place: measured.evidence(i) for i, place in enumerate(wanted)}
        captions = []
        for row, (one, image) in enumerate(zip(found, images, strict=True)):
            observer = MentionObserver()
            for step in range(len(one.transcript.tokens)):
                observer.token(evidence.get((row, step)))
            for word in one.words:
                observer.word(word)
            for mention in one.mentions:
                observer.mention(mention)
            captions.append(
                collect(
                    image,
                    one.mentions,
                    observer,
                    annotated=annotated,
                    text=one.text,
                    tokens=len(one.transcript.tokens),
                    finish=one.transcript.finish,
                    seconds=one.transcript.seconds,
                )
            )
        return captions

    def _read(self, transcript: Transcript) -> _Reading:
        stream, splitter = self._detokenizer.stream(), WordSplitter()
        words: list[Word] = []
        for index, token in enumerate(transcript.tokens):
            words += splitter.push(index, stream.push(token))
        words += splitter.push(max(len(transcript.tokens) - 1, 0), stream.finish())
        words += splitter.finish()
        starts = {word.start: word.first_token for word in words}
        ends = {word.end: word.last_token for word in words}
        mentions = [
            replace(one, first_token=starts[one.start], last_token=ends[one.end])
            for one in find_objects(stream.text, self._lexicon)
        ]
        return _Reading(transcript, stream.text, words, mentions)
