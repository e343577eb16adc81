"""Which decoder layers SVAR sums over, for one model."""

from __future__ import annotations

from ...detectors.svar import LayerRange
from ...detectors.verdict import Calibration
from ..errors import ModelError
from ..models.anatomy import Anatomy


def choose_layers(
    asked: LayerRange | str | None,
    *,
    name: str,
    anatomy: Anatomy,
    calibration: Calibration | None,
) -> LayerRange:
    """What the user asked for, else the calibration's, the published or a scaled range.

    Args:
        asked: the user's range, or its text such as ``"5-18"``.
        name: the model's name, under which a range may have been published.
        anatomy: says how deep the model is, and which of its layers have attention.
        calibration: its range is the default; one that sees nothing but that range judges by the
            very sum, and then no other may be asked for.

    Raises:
        ValueError: the text is no range, or the range leaves the model.
        ModelError: the range is not the calibration's, or has layers without attention.
    """
    depth = anatomy.num_layers
    needed = None if calibration is None else calibration.layers
    if isinstance(asked, str):
        found = LayerRange.parse(asked, depth)
    elif asked is not None:
        found = asked
    elif needed is not None:
        found = needed
    else:
        found = LayerRange.published(name, depth) or LayerRange.scaled(depth)
    found = found.within(depth)
    blind = sorted(set(found.layers) - set(anatomy.layers))
    if blind:
        raise ModelError(
            f"SVAR sums over layers with attention, but of the range {found} layers {blind} of "
            f"{type(anatomy.model).__name__} have none. Choose a range among its attention "
            f"layers {list(anatomy.layers)}: layers='first-last', or a single one."
        )
    if (
        calibration is not None
        and needed is not None
        and by_range(calibration)
        and (needed.first, needed.last) != (found.first, found.last)
    ):
        raise ModelError(
            f"The calibration {calibration.name} holds for layers {needed} alone, asked for were "
            f"{found}. Leave layers out, or calibrate for them."
        )
    return found


def by_range(calibration: Calibration) -> bool:
    """Whether it judges by SVAR over its range, and by nothing else in the model."""
    return calibration.layers is not None and calibration.watched == calibration.layers.layers
