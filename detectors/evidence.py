"""What one token looked like inside the model at the moment it was predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

SEGMENTS: Final = ("image", "prompt", "generated", "first")
"""Where the predicting row may look, in the order of the last axis of ``Evidence.masses``.

``first`` is the first unpadded position of the sequence (the attention sink), ``image`` the image
tokens, ``prompt`` the other positions of the prompt and ``generated`` everything decoded since.
The four are disjoint and cover every visible key, so the masses of one head add up to 1. If the
first position is itself an image token it counts as ``image``, and ``first`` is 0.
"""

IMAGE: Final = SEGMENTS.index("image")


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The measurements of one generated token, all taken from the step that *predicts* it.

    Attributes:
        layers: the decoder layers watched, counted from 0, ascending; one per row of ``masses``.
        masses: float32 ``[layers, heads, segments]``; attention probability mass of the predicting
            query row on each of :data:`SEGMENTS`; each head's segments add up to 1.
            ``masses[..., IMAGE]`` is VAR (Jiang et al., arXiv 2411.16724, Eq. 1).
        log_prob: natural log-probability of the token under the model's raw logits; ``None`` if
            the logits were not finite.
        entropy: entropy of that distribution, in nats; ``None`` if the logits were not finite.
        margin: log-probability of the most likely token minus that of the runner-up, in nats.
        confidence: internal confidence of the token, 0..1: the largest probability that the logit
            lens gives it over all image tokens and layers (Eq. 2); ``None`` where the image's
            hidden states were not kept.
        contributions: float32 ``[layers]``; what each watched layer's attention adds to the
            token's logit (Fig. 2b); ``None`` where it was not asked for.
    """

    layers: tuple[int, ...]
    masses: npt.NDArray[np.float32]
    log_prob: float | None
    entropy: float | None
    margin: float | None
    confidence: float | None = None
    contributions: npt.NDArray[np.float32] | None = None

    @property
    def var(self) -> npt.NDArray[np.float32]:
        """Visual attention ratio of each layer and head, float32 ``[layers, heads]`` (Eq. 1)."""
        return self.masses[..., IMAGE]
