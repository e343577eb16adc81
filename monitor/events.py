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
    """One generated token. ``text`` is what it added to the caption; it may be empty.

    Where steps can be read late, ``evidence.masses`` is brought to the host when somebody asks for
    it; a listener that never does costs less.
    """

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


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt to write a span again.

    Attributes:
        intervention: what was done differently.
        text: what was written; unfinished where the attempt was given up.
        score: the highest score of an object in it, judged without the intervention; ``None``
            where none was judged.
        tokens: decoded for it, those of its verification included; an image-blind pass counts as
            one.
        result: ``passed``, or why it was not accepted.
    """

    intervention: str
    text: str
    score: float | None
    tokens: int
    result: str


@dataclass(frozen=True, slots=True)
class Action:
    """What a policy did about a flagged span, once it is settled.

    Attributes:
        start: first token of the span.
        end: the token after the last of what stands in the caption now; ``start`` where nothing
            does.
        offset: the character at which the span begins.
        objects: the objects (or words) that were flagged.
        old: the text that was flagged, as far as it was written by then.
        new: what stands in its place.
        old_score: the highest score in the old text.
        new_score: the highest score in the new text, ``None`` where there is none.
        intervention: what the new text was written under, ``None`` if it is not new.
        trials: all attempts, in order.
        extra_tokens: tokens that were decoded and are not in the caption, and image-blind passes.
        milliseconds: from the flag to the outcome; in a batch, shared with other rows.
        outcome: ``replaced``, ``kept`` (as it was, flagged), ``dropped`` or ``stopped``.
        reason: why, in words.
    """

    row: int
    start: int
    end: int
    offset: int
    objects: tuple[str, ...]
    old: str
    new: str
    old_score: float | None
    new_score: float | None
    intervention: str | None
    trials: tuple[Trial, ...]
    extra_tokens: int
    milliseconds: float
    outcome: Literal["replaced", "kept", "dropped", "stopped"]
    reason: str


@dataclass(frozen=True, slots=True)
class Retract:
    """Forget what was said of a row from here on; what stands in its place follows.

    Attributes:
        token: index of the first token that is void.
        start: the text is void from this character on.
        word: index of the first word that is void.
        mention: index of the first mention that is void, its verdict with it.
    """

    row: int
    token: int
    start: int
    word: int
    mention: int


Event = Token | Word | Mention | Verdict | End | Action | Retract
