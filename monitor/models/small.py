"""The model that ships with the package: a small LLaVA, trained on a rendered world.

It is an ordinary checkpoint in an ordinary folder, loaded as any other. Its model card, beside it,
says what it can and cannot do.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)


def small_model_folder() -> Path:
    """Where the checkpoint travels in the package.

    Raises:
        FileNotFoundError: the package was installed without its data.
    """
    folder = Path(str(files("sightline.monitor"))) / "data" / "small"
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"The small model's checkpoint must be in {folder}, it is not. Reinstall sightline."
        )
    return folder


def small_model() -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The small model in float32 on the CPU, ready to run, and its processor.

    The weights travel as float16; arithmetic in float16 on a CPU would be slower and coarser.

    Raises:
        FileNotFoundError: the package was installed without its data.
    """
    folder = small_model_folder()
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    assert isinstance(model, LlavaForConditionalGeneration)
    assert isinstance(processor, LlavaProcessor)
    model.train(False)
    return model, processor
