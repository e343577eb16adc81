"""What a report says of the model's inside, where that was asked for."""

from __future__ import annotations

import base64
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from .section import Number, Section


def _base64(text: str) -> str:
    base64.b64decode(text, validate=True)
    return text


Bytes = Annotated[
    str, AfterValidator(_base64), Field(json_schema_extra={"contentEncoding": "base64"})
]
"""Bytes as base64."""


class Planes(Section):
    """A number for each image token in each layer, in steps of 1/255 of the layer's highest."""

    peaks: tuple[float, ...] = Field(description="The highest number of each layer.")
    data: Bytes = Field(
        description="Base64 of one byte per number, layer after layer, image tokens in the order "
        "of the prompt; number = byte / 255 * peaks[layer]."
    )

    @classmethod
    def of(cls, values: npt.NDArray[np.floating]) -> Planes:
        """Numbers ``[layers, image tokens]`` from 0 on; what is not finite counts as 0."""
        known = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        peaks = known.max(axis=1, initial=0.0)
        steps = np.rint(known / np.where(peaks > 0, peaks, 1.0)[:, None] * 255)
        data = base64.b64encode(steps.clip(0, 255).astype(np.uint8).tobytes())
        return cls(peaks=tuple(peaks.tolist()), data=data.decode())

    def values(self) -> npt.NDArray[np.float64]:
        """The numbers, float64 ``[layers, image tokens]``, each off by at most 1/510 of its
        layer's highest."""
        steps = np.frombuffer(base64.b64decode(self.data), dtype=np.uint8)
        peaks = np.array(self.peaks, dtype=np.float64)
        return steps.reshape(len(peaks), -1) / 255 * peaks[:, None]


class MentionInside(Section):
    """What the model's inside was like when a mention's first sub-token was predicted."""

    profile: tuple[Number, ...] = Field(
        description="By layer, the visual attention ratio (mean over heads) of the row that "
        "predicts the mention's first sub-token, 0..1."
    )
    attention: Planes = Field(
        description="That row's attention to each image token, mean over heads, by layer."
    )
    confidence: Planes | None = Field(
        description="Logit lens: the probability of the mention's first sub-token at each image "
        "token, by layer; null where the lens was left out."
    )


class Grid(Section):
    """Image tokens that cover part of the picture, row by row from its upper left corner.

    The box is in shares of the picture as its file shows it upright. Where the processor adds a
    margin it reaches beyond 0..1.
    """

    start: int = Field(ge=0, description="Its first token, counted among the image tokens.")
    rows: int = Field(ge=1)
    columns: int = Field(ge=1)
    left: float
    top: float
    right: float
    bottom: float


class Reads(Section):
    """Logit lens: the likeliest token at each image token, by layer."""

    words: tuple[str, ...] = Field(description="The texts of those tokens.")
    top: Bytes = Field(
        description="Base64 of little-endian 16-bit indices into words, layer after layer, image "
        "tokens in the order of the prompt."
    )
    probability: Planes = Field(description="Of those tokens.")

    @classmethod
    def of(
        cls, words: tuple[str, ...], top: npt.NDArray[np.integer], share: npt.NDArray[np.floating]
    ) -> Reads:
        """Indices into ``words``, and probabilities; both ``[layers, image tokens]``."""
        data = base64.b64encode(top.astype("<u2").tobytes()).decode()
        return cls(words=words, top=data, probability=Planes.of(share))

    def indices(self) -> npt.NDArray[np.uint16]:
        """Which of the words each image token reads as, uint16 ``[layers, image tokens]``."""
        found = np.frombuffer(base64.b64decode(self.top), dtype="<u2").astype(np.uint16)
        return found.reshape(len(self.probability.peaks), -1)


class Band(Section):
    """Where most of some mentions' visual attention ratios lie, by layer."""

    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]


class BandsSection(Section):
    """What is usual: visual attention ratios by layer, of the calibration's mentions."""

    layers: tuple[int, ...] = Field(description="Decoder layers, from 0.")
    share: float = Field(description="The share of mentions between low and high, 0..1.")
    real: Band
    hallucinated: Band


class Inside(Section):
    """The model's inside while it wrote a caption; what concerns a mention is with the mention."""

    layers: tuple[int, ...] = Field(description="Decoder layers with attention, from 0.")
    grids: tuple[Grid, ...] = Field(
        description="Which image tokens lie where in the picture; empty where that is not known of "
        "the model. Where grids overlap, each covers its box on its own."
    )
    reads: Reads | None = Field(description="Null where the lens was left out.")
    bands: BandsSection | None = Field(description="Null where the calibration has none.")
