"""Stage 1: the vision tower learns to see, on what each patch and each picture shows.

It stands for the image-text pretraining that real vision towers bring along; the heads trained
with it are thrown away.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import CLIPVisionModel

from ..architecture import MEAN, PATCHES, STD
from ..catalogue import COLOURS, TYPES
from .corpus import Corpus
from .recipe import Recipe
from .workers import Worker

_GRID = int(PATCHES**0.5)
_BACKGROUND = 0.3
_COLOUR, _GLOBAL = 0.3, 0.5


def pixel_values(pixels: np.ndarray) -> Tensor:
    """Pictures as the processor would hand them on.

    Args:
        pixels: uint8 ``[n, side, side, 3]``.

    Returns:
        float32 ``[n, 3, side, side]``, normalised.
    """
    values = torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float().div_(255)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (values - mean) / std


class Sight(nn.Module):
    """A vision tower with the heads it is warmed up with."""

    def __init__(self, tower: CLIPVisionModel) -> None:
        super().__init__()
        wide = tower.config.hidden_size
        self.tower = tower
        self.norm = nn.LayerNorm(wide)
        self.types = nn.Linear(wide, len(TYPES) + 1)
        self.colours = nn.Linear(wide, len(COLOURS) + 1)
        self.anywhere = nn.Linear(wide, len(TYPES))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Type logits ``[n, PATCHES, types + 1]``, colour logits likewise, and ``[n, types]``."""
        hidden = self.norm(self.tower(pixel_values=pixels).last_hidden_state)
        patches = hidden[:, 1:]
        return self.types(patches), self.colours(patches), self.anywhere(hidden[:, 0])


class VisionLoss:
    """Dense classification of patches by type and colour, and of pictures by what they contain."""

    def __init__(self, sight: Sight, corpus: Corpus, recipe: Recipe) -> None:
        self._sight, self._corpus, self._recipe = sight, corpus, recipe

    def __call__(self, step: int, worker: Worker) -> tuple[Tensor, float]:
        rng = np.random.default_rng([self._recipe.seed, 1, step])
        batch = self._recipe.vision.batch
        rows = rng.integers(len(self._corpus.subjects), size=batch)
        flips = rng.random(batch) < 0.5
        mine = worker.share(batch)
        rows, flips = rows[mine], flips[mine]
        pixels = self._corpus.pixels[rows]
        types = self._corpus.types[rows].reshape(-1, _GRID, _GRID)
        colours = self._corpus.colours[rows].reshape(-1, _GRID, _GRID)
        pixels[flips] = pixels[flips][:, :, ::-1]
        types[flips], colours[flips] = types[flips][:, :, ::-1], colours[flips][:, :, ::-1]
        return self._loss(pixel_values(pixels), torch.from_numpy(types), torch.from_numpy(colours))

    def _loss(self, pixels: Tensor, types: Tensor, colours: Tensor) -> tuple[Tensor, float]:
        type_logits, colour_logits, anywhere = self._sight(pixels)
        types, colours = types.flatten(1).long(), colours.flatten(1).long()
        weight = torch.where(types > 0, 1.0, _BACKGROUND).flatten()
        patch = F.cross_entropy(type_logits.flatten(0, 1), types.flatten(), reduction="none")
        colour = F.cross_entropy(
            colour_logits.flatten(0, 1), colours.flatten(), ignore_index=0, reduction="none"
        )
        present = torch.zeros_like(anywhere).scatter_(1, (types - 1).clamp_min(0), 1.0)
        present[:, 0] = (types == 1).any(1).float()
        whole = F.binary_cross_entropy_with_logits(anywhere, present, reduction="none").sum(1)
        total = (patch * weight).sum() + _COLOUR * colour.sum() + _GLOBAL * whole.sum()
        return total, float(len(pixels) * PATCHES)
