"""What a report is made of, as typed sections; the JSON Schema is drawn from them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, JsonValue

from ...detectors.certificate import Certificate, Left
from ...detectors.guarantee import Target
from ...detectors.mentions import Timing
from ...detectors.svar import Source
from ...detectors.verdict import Kind
from .inside import Inside, MentionInside
from .section import Number, Section

VERSION: Final = 1


class ModelSection(Section):
    """The model that wrote the caption."""

    name: str = Field(description="Name or folder it was loaded from.")
    architecture: str = Field(description="Class of the model.")
    dtype: str
    device: str


class ImageSection(Section):
    """The image file; null in the report where the caller gave tensors only."""

    path: str
    width: int = Field(description="Pixels, after the EXIF orientation was applied.")
    height: int = Field(description="Pixels, after the EXIF orientation was applied.")
    format: str
    mode: str = Field(description="Colour mode of the file before conversion to RGB.")
    frames: int = Field(description="Frames in the file; only the first is looked at.")


class LayersSection(Section):
    """The decoder layers that SVAR sums over, counted from 0, both ends included."""

    first: int
    last: int
    source: Source = Field(description="Where the range comes from.")


class CertificateSection(Section):
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


class CalibrationSection(Section):
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


class TokenSection(Section):
    """A generated token; the offsets are into the caption's text, half-open."""

    id: int
    text: str
    start: int
    end: int
    log_prob: Number = Field(description="Natural logarithm, under the model's raw logits.")
    entropy: Number = Field(description="Nats, of the same distribution.")
    svar: Number = Field(description="Summed visual attention ratio over the layer range.")


class MentionSection(Section):
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
    inside: MentionInside | None = Field(
        default=None, description="Where the model looked; null unless it was asked for."
    )


class TrialSection(Section):
    """One attempt to write a span again."""

    intervention: str = Field(description="What was done differently.")
    text: str = Field(description="What was written; unfinished where it was given up.")
    score: Number = Field(description="Highest score of an object in it; null: none was judged.")
    tokens: int = Field(
        description="Decoded for it, those of its verification and image-blind passes included."
    )
    result: str = Field(description="passed, or why it was not accepted.")


class ActionSection(Section):
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


class TimingsSection(Section):
    """Wall-clock seconds, from the call of generate."""

    first_token: Number = Field(description="Seconds to the first token of the batch.")
    total: Number = Field(description="Seconds to the end of this caption.")


class Report(Section):
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
    inside: Inside | None = Field(
        default=None, description="What the model's inside was like; null unless it was asked for."
    )
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


class Failure(Section):
    """An image that could not be captioned, in place of its report."""

    version: Literal[1] = VERSION
    kind: Literal["failure"] = "failure"
    image: str = Field(description="Path as given.")
    error: str = Field(description="Kind of the error.")
    message: str

    def to_json(self) -> str:
        """One line of JSON, without a newline."""
        return self.model_dump_json()
