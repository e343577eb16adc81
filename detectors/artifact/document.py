"""What ``calibration.json`` says, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ..certificate import Left
from ..guarantee import Target
from ..mentions import Timing
from ..svar import Source
from ..verdict import Scope
from .sealed import DOCUMENT

VERSION: Final = 1
"""The schema version that this package writes, and the newest that it reads."""

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1, le=1024)]
"""Of a model, in layers or heads: bounded, so that no stranger's number fills the memory."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelSection(_Section):
    """The model it was calibrated on; another one is refused."""

    name: str = Field(description="Name or folder that it was loaded from.")
    revision: str = Field(description="Commit or content hash of its weights; empty if unknown.")
    architecture: str = Field(description="Class of the model.")
    num_layers: Size = Field(description="Decoder layers.")
    num_heads: Size = Field(description="Attention heads of each.")


class DetectorSection(_Section):
    """The fitted detector. Its arrays are in arrays.safetensors."""

    name: str
    features: list[str] = Field(max_length=64, description="What it reads of a mention.")
    layers: list[Count] = Field(
        max_length=1024, description="The decoder layers it must see, from 0."
    )
    heads: Annotated[int, Field(ge=0, le=1024)] = Field(
        description="Attention heads of each of them; 0 if it reads none."
    )
    timing: Timing = Field(description="The latest row that it reads, for readers' information.")
    vocabulary: list[str] = Field(description="The objects it was fitted on, if it reads them.")
    estimator: dict[str, JsonValue] = Field(description="Its classifier, taken apart.")


class ProbabilitySection(_Section):
    """From scores to log-odds: piecewise linear, straight beyond its ends."""

    scores: list[float] = Field(min_length=2)
    log_odds: list[float] = Field(min_length=2)


class GuaranteeSection(_Section):
    """What the threshold promises about new images, the image as the unit."""

    target: Target
    level: Share = Field(description="The share promised.")
    confidence: Share = Field(description="Chance, over calibration images, that it holds.")
    images: Count = Field(description="The images that it rests on.")
    measured: Share = Field(description="The share on those images.")
    words: str = Field(description="The same, for readers; the numbers count.")


class PolicySection(_Section):
    """A policy on flags, and what it promises of the captions it leaves, the image as the unit."""

    policy: dict[str, JsonValue] = Field(description="All its parameters, its threshold included.")
    left: Left = Field(description="What is promised to be at most the level.")
    level: Share
    confidence: Share = Field(description="Chance, over calibration images, that it holds.")
    images: Count = Field(description="The images that it rests on.")
    measured: Share = Field(description="The share on those images.")
    without: Share = Field(description="The share on them where nothing is done.")
    recall: Share = Field(description="Share of the images' objects that the captions name.")
    recall_without: Share = Field(description="The same where nothing is done.")
    most: Annotated[int, Field(ge=1)] | None = Field(
        description="Of mentions, how many of a caption count, its first ones."
    )
    words: str = Field(description="The same, for readers; the numbers count.")


class BandSection(_Section):
    """Where most of some mentions lie, by layer: shares of a row's attention."""

    low: list[Share] = Field(max_length=1024)
    median: list[Share] = Field(max_length=1024)
    high: list[Share] = Field(max_length=1024)


class BandsSection(_Section):
    """How much the mentions that it was fitted on look at the image; for readers."""

    layers: list[Count] = Field(max_length=1024, description="Decoder layers, from 0.")
    share: Share = Field(description="The share of mentions between low and high.")
    real: BandSection = Field(description="Objects that are in the image.")
    hallucinated: BandSection = Field(description="Objects that are not.")


class LayersSection(_Section):
    """The decoder layers that SVAR in reports sums over, counted from 0, both ends included."""

    first: Count
    last: Count
    source: Source


class Document(_Section):
    """A calibration, but for the hashes that seal it."""

    format: Literal["sightline-calibration"] = "sightline-calibration"
    schema_version: Literal[1] = VERSION
    name: str = Field(description="What reports call it.")
    created: str = Field(description="When it was fitted, ISO 8601.")
    model: ModelSection
    prompt: str = Field(description="The question that the captions answered.")
    settings: dict[str, JsonValue] = Field(description="Options of generate.")
    lexicon: str = Field(description="Name of the lexicon that found the objects.")
    table: str = Field(description="SHA-256 of the calibration table; empty if unknown.")
    detector: DetectorSection
    layers: LayersSection | None = Field(description="What SVAR in reports sums over.")
    probability: ProbabilitySection
    threshold: Share | None = Field(
        description="The probability from which mentions are flagged; null: none was valid."
    )
    guarantee: GuaranteeSection | None
    scope: Scope = Field(description="Which mentions may be flagged.")
    policy: PolicySection | None = Field(
        default=None, description="A policy that was calibrated on top of it; absent: none was."
    )
    bands: BandsSection | None = Field(
        default=None, description="What is usual of its mentions; absent: not known."
    )
    notes: list[str] = Field(description="What users must know wherever they meet its verdicts.")
    versions: dict[str, str] = Field(description="Of the libraries that it was fitted with.")


class SealedDocument(Document):
    """The whole of calibration.json."""

    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        description="SHA-256 of every other file."
    )
    checksum: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of this file with 64 zeros in this place."
    )


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of ``calibration.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SealedDocument.model_json_schema(),
        "title": f"sightline calibration ({DOCUMENT}), version {VERSION}",
    }
