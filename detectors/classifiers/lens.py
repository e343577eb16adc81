"""Internal confidence by logit lens: does any image token, at any layer, speak of the object?"""

from __future__ import annotations

from .uncertainty import UncertaintyClassifier


class LensClassifier(UncertaintyClassifier):
    """Low internal confidence means hallucinated.

    Internal confidence is the largest probability that the unembedding of the image tokens'
    hidden states gives the object's token, over layers and image tokens.

    Args:
        column: which column of ``X`` holds it, 0..1.

    Source: Jiang et al., arXiv 2411.16724, Eq. 2 (the baseline that SVAR is compared with).
    """

    def __init__(self, column: int = 0) -> None:
        super().__init__(rising=False, column=column)
