"""What the tests of resumable generations share: options, callbacks, comparisons, a fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from sightline.monitor.decoding.resumable import ResumableGeneration
from sightline.monitor.decoding.step import Step
from torch import Tensor
from transformers import LogitsProcessor

RECORDS: dict[str, Any] = {
    "return_dict_in_generate": True,
    "output_scores": True,
    "output_logits": True,
}
STEPS = 12


def every(step: Step) -> bool:
    """Pause after each token."""
    return True


def at(length: int) -> Callable[[Step], bool]:
    """Pause when sequences have a length."""
    return lambda step: step.ids.shape[1] == length


def finish(generation: ResumableGeneration, **options: Any) -> Any:
    """Advance to the end, whatever the pauses."""
    while generation.advance(**options) == "paused":
        pass
    return generation.output


def same(one: Any, other: Any) -> bool:
    """Whether tokens, raw logits and scores are equal, bit for bit."""
    return torch.equal(one.sequences, other.sequences) and all(
        torch.equal(a, b)
        for name in ("logits", "scores")
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True)
    )


def same_cache(one: Any, other: Any, *, rows: slice = slice(None)) -> bool:
    """Whether all that attention can still see is equal, bit for bit."""
    for a, b in zip(one.layers, other.layers, strict=True):
        window = min(a.keys.shape[2], b.keys.shape[2])  # ours keeps what left the window
        for name in ("keys", "values"):
            ours, theirs = (getattr(layer, name)[rows, :, -window:] for layer in (a, b))
            if not torch.equal(ours, theirs):
                return False
    return True


def padded_prompts(processor: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    words = ("a dog", "a woman rides a bicycle past the bus", "the cat")
    batch: dict[str, Tensor] = dict(
        processor(
            images=list(pictures),
            text=[f"USER: <image>\n{text} ASSISTANT:" for text in words],
            padding=True,
            return_tensors="pt",
        )
    )
    assert int(batch["attention_mask"].sum()) < batch["attention_mask"].numel()
    return batch


def end_tokens(model: Any, inputs: dict[str, Tensor]) -> list[int]:
    """Tokens that, when they end captions, end the rows at different lengths."""
    plain = model.generate(**inputs, max_new_tokens=STEPS, eos_token_id=None)
    written = plain[:, inputs["input_ids"].shape[1] :]
    return [int(written[0, 3]), int(written[1, 6])]


class Fault(LogitsProcessor):
    """Breaks once, when sequences have a length."""

    def __init__(self, error: BaseException, *, at: int) -> None:
        self.error, self.at, self.armed = error, at, True

    def strike(self, length: int) -> None:
        """Nothing, or the fault."""
        if self.armed and length == self.at:
            self.armed = False
            raise self.error

    def check(self, length: int) -> bool:
        """False, or the fault."""
        self.strike(length)
        return False

    def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
        self.strike(input_ids.shape[1])
        return scores
