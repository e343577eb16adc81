"""Provisional thresholds for the models whose mean SVAR was published."""

from __future__ import annotations

from .published import published
from .svar import LayerRange
from .threshold import SvarThreshold


def provisional_threshold(model: str, num_layers: int) -> SvarThreshold | None:
    """A threshold halfway between the published mean SVAR of real and of hallucinated objects.

    It is a place to start, not a calibration: it has no probability and promises nothing, and it
    says so wherever its verdicts are shown.

    Args:
        model: a model's name, hub id or folder, for example ``"llava-hf/llava-1.5-7b-hf"``.
        num_layers: depth of its decoder; a name whose depth disagrees is not the paper's model.

    Returns:
        ``None`` for a model without published means.

    Source: the means of :data:`~sightline.detectors.published.PUBLISHED`.
    """
    found = published(model, num_layers)
    if found is None:
        return None
    over = LayerRange(found.first, found.last, "published")
    return SvarThreshold(
        round((found.real + found.hallucinated) / 2, 4),
        over,
        name=f"provisional SVAR threshold for {found.model}",
        scope="objects",
        limits=(
            f"Provisional: halfway between the published mean SVAR of real "
            f"({found.real:.2f}) and of hallucinated ({found.hallucinated:.2f}) objects "
            f"of {found.model}, layers {over} (arXiv 2411.16724, its prompt, greedy). "
            f"Nothing was calibrated: its verdicts come without a probability and without "
            f"a guarantee. `sightline calibrate` makes a calibration.",
        ),
    )
