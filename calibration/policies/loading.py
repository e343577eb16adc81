"""How a trial's model is loaded: a value that goes to worker processes, which load it anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers.utils import logging

from ...monitor.session import Monitor

_TINY: Final = 20_000_000
"""Models with fewer parameters run on one thread."""


@dataclass(frozen=True, slots=True)
class Loading:
    """Called, it gives a monitor.

    Attributes:
        model: a folder, a name on the Hugging Face hub, or ``"small"``.
        device: where it runs; the CPU by default.
        lexicon: which words name which object; by default the model's.
        calibration: the folder of another calibration than the model's own.
        allow_other_model: use a calibration that was made on other weights.
    """

    model: str = "small"
    device: str | None = None
    lexicon: str | None = None
    calibration: Path | None = None
    allow_other_model: bool = False

    def __call__(self) -> Monitor:
        """Load the model and watch it; see :meth:`.Monitor.from_pretrained` for what is raised."""
        logging.disable_progress_bar()
        options: dict[str, Any] = {}
        if self.calibration is not None:
            options["calibration"] = self.calibration
        monitor = Monitor.from_pretrained(
            self.model,
            device=self.device,
            lexicon=self.lexicon,
            allow_other_model=self.allow_other_model,
            **options,
        )
        if monitor.model.num_parameters() < _TINY:
            # Handing such small tensors to several threads costs more than it saves.
            torch.set_num_threads(1)
        return monitor
