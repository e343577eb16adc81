"""What would be used with a model, and why: said without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig

from ...detectors.published import PublishedSettings, named
from ...detectors.svar import LayerRange
from ...detectors.verdict import Calibration
from ..attention.layers import choose_layers
from .anatomy import Anatomy
from .loading import SMALL, calibration_of, check_readable
from .small import small_model_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a monitor does with a model when it is told nothing but its name.

    Attributes:
        model: as asked for.
        architecture: its class in transformers; empty where its config is not on this machine.
        num_layers: depth of its decoder; ``None`` if nobody knows.
        layers: what SVAR sums over; ``None`` until the depth is known.
        calibration: what judges mentions; ``None`` if nothing does.
        published: the settings published under its name, whatever its depth.
        reasons: why, one sentence each.
    """

    model: str
    architecture: str
    num_layers: int | None
    layers: LayerRange | None
    calibration: Calibration | None
    published: PublishedSettings | None
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, model: str, *, num_layers: int | None = None) -> Plan:
        """Find out from what is on this machine; nothing is downloaded.

        With its config at hand the model is built without weights, and asked as the monitor asks.

        Args:
            model: a folder, a name on the Hugging Face hub, or ``"small"``.
            num_layers: depth of its decoder, for a model whose config is not at hand.

        Raises:
            ModelError: it cannot be watched, or its calibration does not fit it.
            ArtifactError: the calibration beside it cannot be read.
            ValueError: ``num_layers`` is not positive, or not what its config says.
        """
        folder = small_model_folder() if model == SMALL else Path(model)
        config = _config(folder if folder.is_dir() else model)
        if config is not None:
            return cls._known(model, folder, config, num_layers)
        settings = named(model)
        depth = num_layers
        if depth is not None:
            known = f"Its config is not on this machine; that it has {depth} layers was given."
        elif settings is not None:
            depth = settings.num_layers
            known = f"Its config is not on this machine; {settings.model} has {depth} layers."
        else:
            known = "Its config is not on this machine, and nobody said how deep it is."
        layers = None if depth is None else LayerRange.published(model, depth)
        if layers is None and depth is not None:
            layers = LayerRange.scaled(depth)
        calibration = calibration_of(folder, depth)
        return cls(
            model=model,
            architecture="",
            num_layers=depth,
            layers=layers,
            calibration=calibration,
            published=settings,
            reasons=(known, *_reasons(settings, depth, layers, calibration)),
        )

    @classmethod
    def _known(
        cls, model: str, folder: Path, config: PreTrainedConfig, num_layers: int | None
    ) -> Plan:
        check_readable(model, config)
        with torch.device("meta"):
            bare = AutoModelForImageTextToText.from_config(config)
        anatomy = Anatomy.of(bare)
        depth = anatomy.num_layers
        if num_layers not in (None, depth):
            raise ValueError(
                f"The depth must be what the model's config says, {depth} layers, was: "
                f"{num_layers}. Leave it out."
            )
        calibration = calibration_of(folder if model == SMALL else model, depth)
        layers = choose_layers(None, name=model, anatomy=anatomy, calibration=calibration)
        settings = named(model)
        name = type(bare).__name__
        return cls(
            model=model,
            architecture=name,
            num_layers=depth,
            layers=layers,
            calibration=calibration,
            published=settings,
            reasons=(
                f"Its config says {name} with {depth} layers.",
                *_reasons(settings, depth, layers, calibration),
            ),
        )


def _config(name_or_folder: str | Path) -> PreTrainedConfig | None:
    """The config, if it lies in the folder or in the hub's cache."""
    try:
        found: PreTrainedConfig = AutoConfig.from_pretrained(name_or_folder, local_files_only=True)
    except (OSError, ValueError):
        return None
    return found


def _reasons(
    settings: PublishedSettings | None,
    depth: int | None,
    layers: LayerRange | None,
    calibration: Calibration | None,
) -> tuple[str, ...]:
    """Why these layers, and why this judge."""
    found: list[str] = []
    if settings is not None and depth != settings.num_layers:
        found.append(
            f"The name is that of {settings.model}, which has {settings.num_layers} layers: this "
            f"is another model, and nothing published about {settings.model} is taken for it."
        )
    match layers.source if layers is not None else None:
        case None:
            found.append(
                "SVAR will sum over 5-18 of 32 layers, scaled to its depth: no range is published."
            )
        case "published":
            found.append(f"Layers {layers} are those published for it.")
        case "scaled":
            found.append(
                f"No range is published for it: layers {layers} are 5-18 of 32, scaled to its "
                f"{depth}."
            )
        case _:
            found.append(f"Layers {layers} are those of its calibration.")
    if calibration is None:
        found.append(
            "Nothing is flagged: no calibration lies beside it, and no mean SVAR is published. "
            "`sightline calibrate` makes a calibration."
        )
    elif calibration.kind == "provisional":
        found.append(f"Mentions are judged by {calibration.name}, which promises nothing.")
    else:
        found.append(f"Mentions are judged by {calibration.name}, which lies beside its weights.")
    return tuple(found)
