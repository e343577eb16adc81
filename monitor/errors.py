"""What can go wrong between a user's call and a report, one class for each remedy.

Every message states the rule, the value seen and what to do about it.
"""

from __future__ import annotations


class SightlineError(Exception):
    """Anything this package refuses or gives up on. Catch it to catch all of the below."""


class InputError(SightlineError, ValueError):
    """The prompt, the images or the tensors made from them cannot be captioned."""


class ImageError(InputError):
    """An image file that is missing, broken, too large or not an image."""


class ModelError(SightlineError, ValueError):
    """The model or its processor is not one that can be watched."""


class OptionError(SightlineError, ValueError):
    """A ``generate`` option that would make the measurements wrong or impossible."""


class ClusterError(SightlineError, RuntimeError):
    """Several workers are asked for, and Ray, a cluster with room for them, or they are missing."""


class WatchError(SightlineError, RuntimeError):
    """The logits processor and the streamer of a watch were not used together, as documented."""


class CancelledError(SightlineError):
    """Raised inside ``generate`` when who reads its events has had enough."""


class NonFiniteError(SightlineError, ArithmeticError):
    """The model's logits hold no usable distribution: a token picked from them means nothing.

    Attributes:
        row: row of the batch, from 0.
        step: index of the generated token, from 0.
    """

    def __init__(self, *, row: int, step: int) -> None:
        super().__init__(
            f"The model's logits must hold a finite maximum and no NaN; those of generated token "
            f"{step} in row {row} do not. Load the model in float32 or bfloat16 and check the "
            f"image's pixel values; on_nonfinite='record' decodes on and leaves the token's "
            f"log-probability empty."
        )
        self.row = row
        self.step = step
