"""Under which conditions captions were written: what a calibration's promises rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model it was.

    Attributes:
        name: name or folder that it was loaded from.
        revision: commit or content hash of its weights; empty if unknown.
        architecture: class of the model.
        num_layers: decoder layers.
        num_heads: attention heads of each.
    """

    name: str
    revision: str
    architecture: str
    num_layers: int
    num_heads: int


@dataclass(frozen=True, slots=True)
class Conditions:
    """The model, the question, and how its answers were decoded and read.

    Attributes:
        model: which model wrote the captions.
        prompt: the question.
        settings: the options of ``generate``, as reports have them; JSON values.
        lexicon: name of the lexicon that found the objects.
        table: SHA-256 of the calibration table; empty if unknown.
    """

    model: ModelIdentity
    prompt: str
    settings: Mapping[str, object] = field(default_factory=dict)
    lexicon: str = ""
    table: str = ""
