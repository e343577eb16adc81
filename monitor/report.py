"""The report of a caption: versioned JSON, and a fold of the caption's events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, TypeAdapter

from ..detectors.certificate import Certificate, Left
from ..detectors.evidence import Evidence
from ..detectors.guarantee import Target
from ..detectors.mentions import Timing
from ..detectors.svar import LayerRange, Source, svar
from ..detectors.verdict import Kind
from .events import Action, End, Event, Mention, Retract, Token, Verdict, Word

VERSION: Final = 1


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A float that is null in JSON where it is missing, NaN or infinite."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(_Section):
    """The model that wrote the caption."""

    name: str = Field(description="Name or folder it was loaded from.")
    architecture: str = Field(description="Class of the model.")
    dtype: str
    device: str


class ImageSection(_Section):
    """The image file; null in the report where the caller gave tensors only."""

    path: str
    width: int = Field(description="Pixels, after the EXIF orientation was applied.")
    height: int = Field(description="Pixels, after the EXIF orientation was applied.")
    format: str
    mode: str = Field(description="Colour mode of the file before conversion to RGB.")
    frames: int = Field(description="Frames in the file; only the first is looked at.")


class LayersSection(_Section):
    """The decoder layers that SVAR sums over, counted from 0, both ends included."""

    first: int
    last: int
    source: Source = Field(description="Where the range comes from.")


class CertificateSection(_Section):
    """What is promised of the captions that the policy leaves, the image as the unit."""

    left: Left = Field(
        description="captions: those that name anything that is not there; mentions: of the "
        "objects named, those that are not there."
    )
    level: Number = Field(description="At most this share is left, 0..1.")
    confidence: Number = Field(description="How sure that is, 0..1, over calibration images.")
    images: int = Field(description="The images that it rests on.")
    measured: Number = Field(description="The share on those images.")
    without: Number = Field(description="The share on them where nothing is done.")
    words: str = Field(description="The same, for readers; the numbers count.")

    @classmethod
    def of(cls, certificate: Certificate) -> CertificateSection:
        """What a report says of a certificate; its policy is in the report already."""
        return cls(
            left=certificate.left,
            level=certificate.level,
            confidence=certificate.confidence,
            images=certificate.images,
            measured=certificate.measured,
            without=certificate.without,
            words=str(certificate),
        )


class CalibrationSection(_Section):
    """What turned measurements into scores, and what may be believed of them.

    Reports of earlier releases have its name and threshold alone.
    """

    name: str
    threshold: Number = Field(
        description="A mention is flagged from this score on; null: no valid one, none is flagged."
    )
    detector: str | None = Field(default=None, description="What scored the mentions.")
    kind: Kind | None = Field(
        default=None,
        description="calibrated: fitted to labelled mentions; provisional: a chosen threshold.",
    )
    timing: Timing | None = Field(
        default=None,
        description="The latest row it read: the one that predicts a mention's first sub-token, "
        "or the one after.",
    )
    target: Target | None = Field(default=None, description="What is promised, if anything.")
    level: Number = Field(default=None, description="The share promised, 0..1.")
    confidence: Number = Field(
        default=None, description="How sure the promise is, 0..1, over calibration images."
    )
    guarantee: str | None = Field(default=None, description="The promise in words.")
    certificate: CertificateSection | None = Field(
        default=None,
        description="What is promised of this caption as it stands, after a policy has acted: "
        "only where that very policy ran.",
    )
    limits: tuple[str, ...] = Field(
        default=(), description="What the promise and the scores do not cover in this caption."
    )


class TokenSection(_Section):
    """A generated token; the offsets are into the caption's text, half-open."""

    id: int
    text: str
    start: int
    end: int
    log_prob: Number = Field(description="Natural logarithm, under the model's raw logits.")
    entropy: Number = Field(description="Nats, of the same distribution.")
    svar: Number = Field(description="Summed visual attention ratio over the layer range.")


class MentionSection(_Section):
    """A noun or object name, in the style of a token-classification result."""

    word: str
    lemma: str
    object: str | None = Field(description="Canonical lexicon name; null for other nouns.")
    visible: bool = Field(description="False for nouns that name no visible object.")
    start: int
    end: int
    first_token: int
    last_token: int = Field(description="Inclusive.")
    svar: Number
    score: Number = Field(description="High means hallucinated; null without a calibration.")
    threshold: Number
    flagged: bool
    action: Literal["keep", "flag", "redecode"] = Field(
        description="redecode: written in place of something that was flagged."
    )
    probability: Number = Field(
        default=None, description="Calibrated probability that the object is hallucinated, 0..1."
    )
    prior: Number = Field(
        default=None, description="What the text alone says, log-odds before calibration."
    )
    evidence: Number = Field(
        default=None, description="What the model's inside adds to that, likewise."
    )


class TrialSection(_Section):
    """One attempt to write a span again."""

    intervention: str = Field(description="What was done differently.")
    text: str = Field(description="What was written; unfinished where it was given up.")
    score: Number = Field(description="Highest score of an object in it; null: none was judged.")
    tokens: int = Field(
        description="Decoded for it, those of its verification and image-blind passes included."
    )
    result: str = Field(description="passed, or why it was not accepted.")


class ActionSection(_Section):
    """What a policy did about a flagged span."""

    outcome: Literal["replaced", "kept", "dropped", "stopped"]
    reason: str
    start: int = Field(description="The character at which the span begins.")
    first_token: int = Field(description="Index of its first token.")
    end_token: int = Field(description="Index of the token after its last, as it stands now.")
    objects: tuple[str, ...] = Field(description="What was flagged.")
    old: str = Field(description="The flagged text, as far as it was written.")
    new: str = Field(description="What stands in its place.")
    old_score: Number
    new_score: Number
    intervention: str | None = Field(description="What the new text was written under.")
    tries: tuple[TrialSection, ...]
    extra_tokens: int = Field(
        description="Tokens decoded for it that are not in the caption, and image-blind passes."
    )
    milliseconds: Number


class TimingsSection(_Section):
    """Wall-clock seconds, from the call of generate."""

    first_token: Number = Field(description="Seconds to the first token of the batch.")
    total: Number = Field(description="Seconds to the end of this caption.")


class Report(_Section):
    """Everything known of one caption."""

    version: Literal[1] = VERSION
    kind: Literal["caption"] = "caption"
    model: ModelSection
    prompt: str
    image: ImageSection | None
    image_tokens: int = Field(description="Image tokens in the prompt.")
    settings: dict[str, JsonValue] = Field(description="Options given to generate.")
    layers: LayersSection
    calibration: CalibrationSection | Literal["uncalibrated"]
    text: str
    tokens: tuple[TokenSection, ...]
    mentions: tuple[MentionSection, ...]
    policy: dict[str, JsonValue] | None = Field(
        default=None, description="What was to be done about flags, where a policy was given."
    )
    actions: tuple[ActionSection, ...] = Field(
        default=(), description="What was done about them, in order."
    )
    finish: Literal["eos", "length", "stopped", "interrupted"] = Field(
        description="eos: by itself; length: cut; stopped: by a rule; interrupted: by an error."
    )
    truncated: bool = Field(description="True where the caption was cut or interrupted.")
    timings: TimingsSection

    def to_json(self) -> str:
        """One line of JSON, without a newline."""
        return self.model_dump_json()


class Failure(_Section):
    """An image that could not be captioned, in place of its report."""

    version: Literal[1] = VERSION
    kind: Literal["failure"] = "failure"
    image: str = Field(description="Path as given.")
    error: str = Field(description="Kind of the error.")
    message: str

    def to_json(self) -> str:
        """One line of JSON, without a newline."""
        return self.model_dump_json()


Record = Annotated[Report | Failure, Field(discriminator="kind")]
"""One line of a reports file."""

_RECORD: Final[TypeAdapter[Report | Failure]] = TypeAdapter(Record)


def parse_record(line: str | bytes) -> Report | Failure:
    """Read one line of a reports file.

    Raises:
        pydantic.ValidationError: the line is not a record of a version this package knows.
    """
    return _RECORD.validate_json(line)


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one line of a reports file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"sightline report, version {VERSION}",
        **_RECORD.json_schema(mode="serialization"),
    }


def shipped_schema() -> dict[str, Any]:
    """The schema file that travels with the package."""
    text = (
        files("sightline.monitor").joinpath("data", "schema", f"report-v{VERSION}.json").read_text()
    )
    loaded: dict[str, Any] = json.loads(text)
    return loaded


class Header(_Section):
    """What is known of a caption before its first event."""

    model: ModelSection
    prompt: str
    image: ImageSection | None = None
    image_tokens: int
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    layers: LayersSection
    calibration: CalibrationSection | Literal["uncalibrated"] = "uncalibrated"
    policy: dict[str, JsonValue] | None = None


class ReportBuilder:
    """Folds the events of one row into its report; other rows' events are passed over."""

    def __init__(self, header: Header, *, row: int = 0) -> None:
        self._header = header
        self._row = row
        self._range = LayerRange(header.layers.first, header.layers.last, header.layers.source)
        self._tokens: list[Token] = []
        self._mentions: dict[int, Mention] = {}
        self._verdicts: dict[int, Verdict] = {}
        self._actions: list[Action] = []
        self._end: End | None = None

    def add(self, event: Event) -> None:
        """Take in one event. Words and provisional mentions leave no trace in a report."""
        if event.row != self._row:
            return
        match event:
            case Token():
                self._tokens.append(event)
            case Mention(provisional=False):
                self._mentions[event.index] = event
            case Verdict():
                self._verdicts[event.mention] = event
            case End():
                self._end = event
            case Action():
                self._actions.append(event)
            case Retract():
                self._retract(event)
            case Mention() | Word():
                pass

    def _retract(self, event: Retract) -> None:
        del self._tokens[event.token :]
        self._mentions = {i: m for i, m in self._mentions.items() if i < event.mention}
        self._verdicts = {i: v for i, v in self._verdicts.items() if i < event.mention}
        self._end = None

    def report(self, *, first_token: float | None = None, total: float | None = None) -> Report:
        """The report of the events so far; the arguments are seconds, where they were measured."""
        header, end = self._header, self._end
        text = end.text if end is not None else "".join(token.text for token in self._tokens)
        finish = end.reason if end is not None else "interrupted"
        return Report(
            **dict(header),
            text=text,
            tokens=tuple(self._token(token) for token in self._tokens),
            mentions=tuple(self._mention(m) for _, m in sorted(self._mentions.items())),
            actions=tuple(map(_action, self._actions)),
            finish=finish,
            truncated=finish in ("length", "interrupted"),
            timings=TimingsSection(first_token=first_token, total=total),
        )

    def _token(self, token: Token) -> TokenSection:
        evidence = token.evidence
        return TokenSection(
            id=token.id,
            text=token.text,
            start=token.start,
            end=token.end,
            log_prob=None if evidence is None else evidence.log_prob,
            entropy=None if evidence is None else evidence.entropy,
            svar=None if evidence is None else svar_of(evidence, self._range),
        )

    def _mention(self, mention: Mention) -> MentionSection:
        verdict = self._verdicts.get(mention.index)
        flagged = verdict is not None and verdict.flagged
        return MentionSection(
            word=mention.word,
            lemma=mention.lemma,
            object=mention.object,
            visible=mention.visible,
            start=mention.start,
            end=mention.end,
            first_token=mention.first_token,
            last_token=mention.last_token,
            svar=None if verdict is None else verdict.svar,
            score=None if verdict is None else verdict.score,
            threshold=None if verdict is None else verdict.threshold,
            flagged=flagged,
            action=self._what_was_done(mention, flagged=flagged),
            probability=None if verdict is None else verdict.probability,
            prior=None if verdict is None else verdict.prior,
            evidence=None if verdict is None else verdict.evidence,
        )

    def _what_was_done(
        self, mention: Mention, *, flagged: bool
    ) -> Literal["keep", "flag", "redecode"]:
        if self._header.policy is not None and self._header.policy.get("act") == "observe":
            return "keep"
        if flagged:
            return "flag"
        place = mention.first_token
        new = any(
            action.outcome == "replaced" and action.start <= place < action.end
            for action in self._actions
        )
        return "redecode" if new else "keep"


def _action(action: Action) -> ActionSection:
    return ActionSection(
        outcome=action.outcome,
        reason=action.reason,
        start=action.offset,
        first_token=action.start,
        end_token=action.end,
        objects=action.objects,
        old=action.old,
        new=action.new,
        old_score=action.old_score,
        new_score=action.new_score,
        intervention=action.intervention,
        tries=tuple(TrialSection(**asdict(trial)) for trial in action.trials),
        extra_tokens=action.extra_tokens,
        milliseconds=action.milliseconds,
    )


def fold(header: Header, events: Iterable[Event], *, row: int = 0) -> Report:
    """The report of one row from the events of a whole batch, in the order they happened."""
    builder = ReportBuilder(header, row=row)
    for event in events:
        builder.add(event)
    return builder.report()


def svar_of(evidence: Evidence, layers: LayerRange) -> float | None:
    """SVAR of one token from its evidence, ``None`` where its attention was not finite."""
    if not np.isfinite(evidence.masses).all():
        return None
    return float(svar(evidence.var, evidence.layers, layers))
