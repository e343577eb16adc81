"""``model.generate(custom_generate=...)``: the policy for those who keep their own call."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.monitor.errors import ModelError, OptionError, WatchError
from sightline.monitor.policy import Policy
from sightline.monitor.session import Monitor
from torch import Tensor
from transformers import LogitsProcessor

ALWAYS = Policy(act="stop", threshold=0.02)
"""Flags and stops somewhere in every sample's caption."""


@cache
def small() -> Monitor:
    """The small model with its calibration."""
    return Monitor.from_pretrained("small")


@cache
def inputs() -> dict[str, Any]:
    """Three of the samples."""
    folder = files("sightline.monitor").joinpath("data", "samples")
    names = [f"4000000{one}.png" for one in range(3)]
    images = [Image.open(str(folder.joinpath(name))).convert("RGB") for name in names]
    return dict(small().prepare(images))


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 80},
        {"max_length": 120},
        {"max_new_tokens": 80, "repetition_penalty": 1.1, "min_new_tokens": 4},
        {"max_new_tokens": 80, "do_sample": True, "temperature": 0.7, "top_k": 20},
        {"max_new_tokens": 40, "num_return_sequences": 2, "do_sample": True},
        {"max_new_tokens": 80, "return_dict_in_generate": True, "output_scores": True},
    ],
    ids=lambda options: ",".join(options),
)
def test_it_is_what_the_monitor_generates(options: dict[str, Any]) -> None:
    """The same tokens under the same options, and the same reports."""
    decode = small().custom_generate(ALWAYS)
    model: Any = small().model
    torch.manual_seed(3)
    output = model.generate(**inputs(), custom_generate=decode, **options)
    torch.manual_seed(3)
    expected = small().generate(**inputs(), policy=ALWAYS, **options)
    sequences = output if isinstance(output, Tensor) else output.sequences
    assert torch.equal(sequences, expected.sequences)
    assert decode.captions.texts == expected.texts
    assert [len(report.actions) for report in decode.captions.reports] == [
        len(report.actions) for report in expected.reports
    ]
    assert any(report.actions for report in decode.captions.reports)


def test_processors_of_the_caller_are_heard() -> None:
    """Once per step, as in any call of generate."""
    seen: list[int] = []

    class Count(LogitsProcessor):
        def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
            seen.append(input_ids.shape[1])
            return scores

    decode = small().custom_generate(Policy(act="stop", threshold=2.0))
    model: Any = small().model
    ids = model.generate(
        **inputs(), custom_generate=decode, max_new_tokens=30, logits_processor=[Count()]
    )
    first = inputs()["input_ids"].shape[1]
    assert seen == list(range(first, ids.shape[1]))
    assert torch.equal(ids, model.generate(**inputs(), max_new_tokens=30))


def test_what_it_cannot_do_is_said() -> None:
    """Another model, no call yet, a policy that only watches."""
    decode = small().custom_generate("stop")
    with pytest.raises(WatchError, match="nothing to report yet"):
        _ = decode.captions
    with pytest.raises(OptionError, match=r"Use monitor\.watch"):
        small().custom_generate("flag")
    other: Any = Monitor.from_pretrained("small").model
    with pytest.raises(ModelError, match="its own model"):
        other.generate(**inputs(), custom_generate=decode, max_new_tokens=4)
