"""One captioned image as the calibration table keeps it, gathered from the monitor's events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Literal

from ...detectors.mentions import MentionEvidence
from ...monitor.events import End, Event, Mention, Token, Word
from ...monitor.watching.observed import MentionObserver

Finish = Literal["eos", "length", "stopped"]


@dataclass(frozen=True, slots=True, eq=False)
class CollectedMention:
    """An object mention of a caption.

    Attributes:
        text: what stands in the caption.
        start: where it begins, in characters.
        end: where it ends, exclusive.
        label: 1 where the image holds no such object, 0 where it does, ``None`` where the
            annotations do not cover this kind of object.
        evidence: its place in the caption and what it looked like inside the model.
    """

    text: str
    start: int
    end: int
    label: int | None
    evidence: MentionEvidence


@dataclass(frozen=True, slots=True, eq=False)
class CollectedCaption:
    """An image and what was made of it.

    Attributes:
        image_id: as in the annotations.
        file: name of the image file.
        truth: canonical names of the objects in it, in order of the alphabet.
        text: the caption; ``None`` where the image could not be captioned.
        mentions: its object mentions, in order.
        tokens: generated tokens, the end token included.
        finish: why it ended.
        seconds: from the start of its batch to its end.
        error: where it could not be captioned, what happened.
    """

    image_id: str
    file: str
    truth: tuple[str, ...]
    text: str | None = None
    mentions: tuple[CollectedMention, ...] = ()
    tokens: int = 0
    finish: Finish | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image before it is captioned.

    Attributes:
        image_id: as in the annotations.
        file: name of the image file.
        truth: canonical names of the objects in it.
    """

    image_id: str
    file: str
    truth: frozenset[str]


def label(name: str, truth: Set[str], annotated: Set[str]) -> int | None:
    """CHAIR's rule: an object that the image does not hold is hallucinated (1).

    Args:
        name: canonical name of the object mentioned.
        truth: canonical names of the objects in the image.
        annotated: canonical names of all objects that the annotators looked for.

    Returns:
        ``None`` for an object nobody looked for: whether it is there is not known.
    """
    if name in truth:
        return 0
    return 1 if name in annotated else None


@dataclass(slots=True)
class _Row:
    observer: MentionObserver = field(default_factory=MentionObserver)
    mentions: list[Mention] = field(default_factory=list)
    end: End | None = None
    seconds: float = 0.0


class CaptionGatherer:
    """Takes in the events of one batch and gives back its captions, labelled.

    Args:
        rows: captions in the batch.
    """

    def __init__(self, rows: int) -> None:
        self._rows = [_Row() for _ in range(rows)]
        self._began = time.perf_counter()

    def add(self, event: Event) -> None:
        """One event, in the order they happen: for ``on_event``."""
        row = self._rows[event.row]
        match event:
            case Token():
                row.observer.token(event.evidence)
            case Word():
                row.observer.word(event)
            case Mention(provisional=False):
                row.observer.mention(event)
                row.mentions.append(event)
            case End():
                row.end = event
                row.seconds = time.perf_counter() - self._began
            case _:
                pass

    def caption(self, row: int, image: ImageFacts, annotated: Set[str]) -> CollectedCaption:
        """A finished caption.

        Args:
            row: its row in the batch.
            image: what it was made of.
            annotated: canonical names of all objects that the annotators looked for.

        Raises:
            ValueError: it did not end, or an object was mentioned without evidence.
        """
        found = self._rows[row]
        if found.end is None:
            raise ValueError(f"A caption must have ended, that of {image.file} did not.")
        return collect(
            image,
            found.mentions,
            found.observer,
            annotated=annotated,
            text=found.end.text,
            tokens=found.end.tokens,
            finish=found.end.reason,
            seconds=found.seconds,
        )


def collect(
    image: ImageFacts,
    mentions: Iterable[Mention],
    observer: MentionObserver,
    *,
    annotated: Set[str],
    text: str,
    tokens: int,
    finish: Finish,
    seconds: float,
) -> CollectedCaption:
    """A caption with its object mentions, labelled.

    Args:
        image: what it was made of.
        mentions: its confirmed mentions; those that name no object are left out.
        observer: was given its tokens, words and mentions.
        annotated: canonical names of all objects that the annotators looked for.
        text: the caption.
        tokens: generated tokens, the end token included.
        finish: why it ended.
        seconds: from the start of its batch to its end.

    Raises:
        ValueError: an object was mentioned without evidence.
    """
    return CollectedCaption(
        image_id=image.image_id,
        file=image.file,
        truth=tuple(sorted(image.truth)),
        text=text,
        mentions=tuple(
            _labelled(mention, mention.object, observer, image.truth, annotated)
            for mention in mentions
            if mention.object is not None
        ),
        tokens=tokens,
        finish=finish,
        seconds=seconds,
    )


def _labelled(
    mention: Mention, name: str, observer: MentionObserver, truth: Set[str], annotated: Set[str]
) -> CollectedMention:
    evidence = observer.evidence(mention)
    if evidence is None:
        raise ValueError(f"Every mention must have evidence, that of {mention.word!r} has none.")
    return CollectedMention(
        text=mention.word,
        start=mention.start,
        end=mention.end,
        label=label(name, truth, annotated),
        evidence=evidence,
    )
