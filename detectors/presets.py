"""Provisional thresholds for the models whose mean SVAR was published."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .svar import LayerRange
from .threshold import SvarThreshold


@dataclass(frozen=True, slots=True)
class _Means:
    """Mean SVAR of real and of hallucinated objects, over the layers published with them."""

    model: str
    pattern: str  # in the model's normalised name
    num_layers: int
    real: float
    hallucinated: float


_PUBLISHED: Final = (
    _Means("LLaVA-1.5-7B", r"llavav?157b", 32, 1.70, 1.25),
    _Means("LLaVA-1.5-13B", r"llavav?1513b", 40, 1.50, 1.06),
    _Means("Shikra", r"shikra", 32, 5.86, 5.43),
    _Means("MiniGPT-4", r"minigpt4", 32, 2.25, 1.67),
)


def provisional_threshold(model: str, num_layers: int) -> SvarThreshold | None:
    """A threshold halfway between the published mean SVAR of real and of hallucinated objects.

    It is a place to start, not a calibration: it has no probability and promises nothing, and it
    says so wherever its verdicts are shown.

    Args:
        model: a model's name, hub id or folder, for example ``"llava-hf/llava-1.5-7b-hf"``.
        num_layers: depth of its decoder; a name whose depth disagrees is not the paper's model.

    Returns:
        ``None`` for a model without published means.

    Source: Jiang et al., arXiv 2411.16724: mean SVAR of LLaVA-1.5-7B 1.70 and 1.25, 13B 1.50 and
    1.06 (layers 5-18), Shikra 5.86 and 5.43 (3-13), MiniGPT-4 2.25 and 1.67 (3-14).
    """
    name = re.sub(r"[^a-z0-9]", "", model.lower())
    over = LayerRange.published(model, num_layers)
    for means in _PUBLISHED:
        if over is not None and means.num_layers == num_layers and re.search(means.pattern, name):
            minimum = round((means.real + means.hallucinated) / 2, 4)
            return SvarThreshold(
                minimum,
                over,
                name=f"provisional SVAR threshold for {means.model}",
                scope="objects",
                limits=(
                    f"Provisional: halfway between the published mean SVAR of real "
                    f"({means.real:.2f}) and of hallucinated ({means.hallucinated:.2f}) objects "
                    f"of {means.model}, layers {over} (arXiv 2411.16724, its prompt, greedy). "
                    f"Nothing was calibrated: its verdicts come without a probability and without "
                    f"a guarantee. `sightline calibrate` makes a calibration.",
                ),
            )
    return None
