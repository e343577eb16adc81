"""Everything that happens while a caption is written, as frozen values.

A caption's report is a fold of its events: whoever has the events has the report. Offsets are
character offsets into the caption's text, half-open; token indices count generated tokens from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..detectors.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token. ``text`` is what it added to the caption; it may be empty."""

    row: int
    index: int
    id: int
    text: str
    start: int
    end: int
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class Word:
    """One complete word, known when the token after it begins another (or the caption ends)."""

    row: int
    index: int
    text: str
    start: int
    end: int
    first_token: int
    last_token: int


@dataclass(frozen=True, slots=True)
class Mention:
    """A noun, or an object name of one or more words.

    Attributes:
        index: counts the confirmed mentions of the row from 0, in order of ``start``; a
            provisional mention carries the index it would get.
        word: the text between ``start`` and ``end``.
        lemma: its dictionary form, lower case.
        object: canonical name in the lexicon, or ``None`` for a noun outside it.
        visible: False for nouns that name no visible object (image, scene, side, time); these are
            scored but never flagged.
        first_token: the first sub-token of the mention: the one whose evidence is the mention's.
        provisional: True while the words to its right are still unknown: shown early, never
            judged. Only confirmed mentions are numbered, scored and reported.
    """

    row: int
    index: int
    word: str
    lemma: str
    object: str | None
    visible: bool
    start: int
    end: int
    first_token: int
    last_token: int
    provisional: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a detector says of one confirmed mention. A high score means *hallucinated*.

    Where no calibration is loaded, all but ``svar`` is ``None`` and nothing is flagged.

    Attributes:
        mention: index of the mention in its row.
        svar: summed visual attention ratio of its first sub-token; ``None`` if not finite.
        score: what was compared with ``threshold``.
        threshold: the score from which mentions are flagged; ``None`` if there is no valid one.
        flagged: always False for nouns that name nothing visible, and for those outside the
            lexicon where the calibration is about its objects alone.
        probability: calibrated probability that the object is hallucinated, 0..1.
        prior: the part of the verdict that the text alone gives, log-odds before calibration.
        evidence: the part that the model's inside adds to it, likewise.
    """

    row: int
    mention: int
    svar: float | None
    score: float | None
    threshold: float | None
    flagged: bool
    probability: float | None = None
    prior: float | None = None
    evidence: float | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The end of one caption and why: ``eos`` by itself, ``length`` cut, ``stopped`` by a rule."""

    row: int
    text: str
    tokens: int
    reason: Literal["eos", "length", "stopped"]


Event = Token | Word | Mention | Verdict | End
