"""A model and its processor from a name or a folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from ...detectors.artifact.sealed import ArtifactError
from ...detectors.calibrated import CalibratedDetector
from ...detectors.presets import provisional_threshold
from ...detectors.threshold import SvarThreshold
from ...detectors.verdict import Calibration
from ..errors import ModelError
from .unavailable import remedy

SMALL: Final = "small"
"""The name of the model that ships with the package."""

CALIBRATION: Final = "calibration"
"""The folder in a checkpoint's folder that holds its calibration."""


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model ready to run and what belongs to it.

    Attributes:
        model: in evaluation mode, on its device.
        processor: its processor.
        lexicon: name of the lexicon that fits what it was trained on.
        calibration: the calibration that comes with it, or the provisional threshold of a model
            whose mean SVAR was published, if there is either.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    lexicon: str
    calibration: Calibration | None = None


def load(
    name_or_folder: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "auto",
) -> Loaded:
    """Load a checkpoint; code that a checkpoint may bring along is never run.

    Args:
        name_or_folder: a folder, a name on the Hugging Face hub, or ``"small"``.
        device: where the model runs; the CPU by default.
        dtype: of the weights; by default what the checkpoint says. The small model is float32.

    Raises:
        ModelError: nothing is there, it is damaged, or it is not an image-text-to-text model.
        ArtifactError: the calibration in its folder cannot be read.
    """
    if str(name_or_folder) == SMALL:
        from .small import small_model, small_model_folder

        try:
            model, processor = small_model()
            own = calibration_of(small_model_folder(), None)
        except FileNotFoundError as error:
            raise ModelError(str(error)) from error
        return Loaded(_placed(model, device), processor, SMALL, own)
    name = str(name_or_folder)
    try:
        config = AutoConfig.from_pretrained(name)
        check_readable(name, config)
        read: Any = AutoModelForImageTextToText.from_pretrained  # typed as if it gave one thing
        loaded, info = read(name, config=config, dtype=dtype, output_loading_info=True)
        _check_weights(name, info["missing_keys"])
        found = _processor(name)
    except (OSError, ValueError, ImportError, KeyError, SafetensorError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{name!r} could not be loaded as a model: {remedy(name, error)}"
        ) from error
    if not isinstance(found, ProcessorMixin):
        raise ModelError(
            f"{name!r} must come with a processor for text and images, it has a "
            f"{type(found).__name__}. Save the model's processor beside it."
        )
    own = calibration_of(name, getattr(config.get_text_config(), "num_hidden_layers", None))
    return Loaded(_placed(loaded, device), found, "coco", own)


def calibration_of(name_or_folder: str | Path, num_layers: int | None) -> Calibration | None:
    """What judges a model unless another calibration is asked for; ``None`` if nothing does.

    The calibration that lies beside the checkpoint, else a threshold that somebody chose and put
    there, else the provisional one of a model whose mean SVAR was published.

    Args:
        name_or_folder: a folder, or a name.
        num_layers: depth of the model's decoder, if it is known.

    Raises:
        ArtifactError: the calibration cannot be read.
        ModelError: the threshold cannot be read.
    """
    own = _beside(Path(name_or_folder))
    if own is None and num_layers is not None:
        return provisional_threshold(str(name_or_folder), num_layers)
    return own


def _beside(folder: Path) -> Calibration | None:
    """The calibration that lies beside a checkpoint, else the chosen threshold, if one does."""
    try:
        if (folder / CALIBRATION).is_dir():
            return CalibratedDetector.load(folder / CALIBRATION)
        return SvarThreshold.load(folder)
    except ArtifactError:
        raise
    except ValueError as error:
        raise ModelError(str(error)) from error


def check_readable(name: str, config: PreTrainedConfig) -> None:
    """Refuse what is not listed as a model that reads images and writes text.

    Raises:
        ModelError: it is of another kind.
    """
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise ModelError(
            f"The model must read images and write text; {name!r} is a {config.model_type!r} "
            f"model, which transformers does not list as image-text-to-text."
        )


def _processor(name: str) -> object:
    """The processor, on the PIL back end if it has one: that is the same on every machine."""
    try:
        return AutoProcessor.from_pretrained(name, backend="pil")
    except (ImportError, ValueError) as error:
        # Those that take videos too, as Qwen-VL's and InternVL's, have none for them.
        if "video processor" not in str(error).lower():
            raise
    try:
        return AutoProcessor.from_pretrained(name)
    except (ImportError, ValueError) as error:
        if find_spec("torchvision") is not None:
            raise
        raise ModelError(
            f"The processor of {name!r} takes videos too, for which transformers needs "
            f"torchvision; it is not installed. Run `pip install torchvision`."
        ) from error


def _check_weights(name: str, missing: Collection[str]) -> None:
    """Refuse a checkpoint that would be filled up with random numbers."""
    if missing:
        raise ModelError(
            f"A checkpoint must hold all weights of its model; {name!r} lacks {len(missing)}, such "
            f"as {min(missing)!r}, and what it writes would be noise. It may be in the layout of "
            f"the authors' own code: look for a copy made for transformers, as "
            f"llava-hf/llava-1.5-7b-hf is of liuhaotian/llava-v1.5-7b."
        )


def _placed(model: PreTrainedModel, device: str | torch.device | None) -> PreTrainedModel:
    model.eval()
    if device is not None:
        try:
            model.to(device)  # type: ignore[arg-type]  # transformers wraps it without its types
        except (RuntimeError, AssertionError) as error:
            raise ModelError(f"The model cannot run on {device!r}: {error}") from error
    return model
