"""What was published about single models: one table, from which presets are taken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

REFERENCE_PROMPT: Final = "Please help me describe the image in detail."
"""The question under which all of the table was measured (arXiv 2411.16724)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSettings:
    """What a paper reports for one model: where to look, what it saw, how hard it intervened.

    Attributes:
        model: its name in the paper.
        pattern: a regular expression, found in the normalised names of its checkpoints: lower
            case, letters and digits alone.
        num_layers: depth of its decoder; a name whose depth disagrees is another model's.
        first: the first layer that SVAR sums over, counted from 0.
        last: the last one, included. The intervention acts on the same layers.
        real: mean SVAR of real objects, 0 to the number of layers.
        hallucinated: mean SVAR of hallucinated objects.
        alpha: strength of the intervention (Eq. 4).
        prompt: the question asked.
        decoding: how captions were written.
        checkpoint: a name on the Hugging Face hub that transformers loads as it is; empty where
            transformers has no class for the model, so that only a converted copy can be watched.
        source: where the figures stand.
    """

    model: str
    pattern: str
    num_layers: int
    first: int
    last: int
    real: float
    hallucinated: float
    alpha: float
    prompt: str = REFERENCE_PROMPT
    decoding: str = "greedy, at most 512 new tokens"
    checkpoint: str = ""
    source: str = "Jiang et al., CVPR 2025, arXiv 2411.16724"

    @property
    def layers(self) -> str:
        """The range as text, such as ``"5-18"``."""
        return f"{self.first}-{self.last}"

    def names(self, model: str) -> bool:
        """Whether this is what a name, a hub id or a folder calls; depth is not looked at."""
        return re.search(self.pattern, re.sub(r"[^a-z0-9]", "", model.lower())) is not None


PUBLISHED: Final = (
    PublishedSettings(
        model="LLaVA-1.5-7B",
        pattern=r"llavav?157b",
        num_layers=32,
        first=5,
        last=18,
        real=1.70,
        hallucinated=1.25,
        alpha=0.5,
        checkpoint="llava-hf/llava-1.5-7b-hf",
    ),
    PublishedSettings(
        model="LLaVA-1.5-13B",
        pattern=r"llavav?1513b",
        num_layers=40,
        first=5,
        last=18,
        real=1.50,
        hallucinated=1.06,
        alpha=0.5,
        checkpoint="llava-hf/llava-1.5-13b-hf",
    ),
    PublishedSettings(
        model="Shikra",
        pattern=r"shikra",
        num_layers=32,
        first=3,
        last=13,
        real=5.86,
        hallucinated=5.43,
        alpha=0.55,
    ),
    PublishedSettings(
        model="MiniGPT-4",
        pattern=r"minigpt4",
        num_layers=32,
        first=3,
        last=14,
        real=2.25,
        hallucinated=1.67,
        alpha=0.5,
    ),
)
"""Every model with published settings. Alpha .5 is a model's own: at .6 LLaVA-1.5-7B collapses."""


def named(model: str) -> PublishedSettings | None:
    """The settings of the model that a name calls, whatever its depth; ``None`` if there are none.

    Args:
        model: a model's name, hub id or folder, for example ``"llava-hf/llava-1.5-7b-hf"``.
    """
    return next((settings for settings in PUBLISHED if settings.names(model)), None)


def published(model: str, num_layers: int) -> PublishedSettings | None:
    """The settings published for this very model, or ``None`` if there are none.

    Args:
        model: a model's name, hub id or folder, for example ``"llava-hf/llava-1.5-7b-hf"``.
        num_layers: depth of its decoder; a name whose depth disagrees is not the paper's model.
    """
    found = named(model)
    return found if found is not None and found.num_layers == num_layers else None
