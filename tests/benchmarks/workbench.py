"""What the benchmarks share: LLaVA-shaped random models, what to watch them with, results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from sightline.detectors.svar import LayerRange
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LogitsProcessor,
    set_seed,
)

RESULTS = Path(__file__).parent / "results"

_STEADY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}

Watch = Callable[[Any, dict[str, Tensor]], AbstractContextManager[dict[str, Any]]]
"""Opens a watch on ``(model, inputs)`` and yields the options that ``generate`` needs for it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A LLaVA-shaped decoder; its vision tower is kept small, for decoding never calls it."""

    name: str
    hidden: int
    inner: int
    layers: int
    heads: int
    vocabulary: int
    grid: int  # image tokens per side

    @property
    def image_tokens(self) -> int:
        """Image tokens per image."""
        return self.grid**2


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("small", 96, 256, 12, 6, 600, 8),
        Shape("0.1b", 768, 2048, 12, 12, 32000, 24),
        Shape("0.7b", 1536, 4096, 24, 12, 32000, 24),
        Shape("1.5b", 2048, 5504, 26, 16, 32000, 24),
        Shape("7b", 4096, 11008, 32, 32, 32064, 24),
    )
}


def steady_heap() -> None:
    """Start this process anew, so that glibc keeps what is freed; first thing in a benchmark.

    A growing cache frees and takes megabytes in every layer of every step. Whether glibc hands them
    back to the system in between hangs on where small things happen to lie: plain decoding with
    2,880 image tokens has no page fault in one run and 5,000 a token in the next, some hundredths
    of its time, and so has watched decoding. Elsewhere than on Linux nothing happens.
    """
    if sys.platform == "linux" and not _STEADY.keys() <= os.environ.keys():
        os.execve(sys.executable, sys.orig_argv, os.environ | _STEADY)


def build(shape: Shape, device: torch.device, dtype: torch.dtype, attention: str = "sdpa") -> Any:
    """A model with random weights."""
    set_seed(0)
    image_token = shape.vocabulary - 1
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=14 * shape.grid,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=8192,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        ),
        image_token_index=image_token,
        image_seq_length=shape.image_tokens,
    )
    config._attn_implementation = attention
    with device:
        torch.set_default_dtype(dtype)
        try:
            model = LlavaForConditionalGeneration(config)
        finally:
            torch.set_default_dtype(torch.float32)
    whole: Any = model.eval()
    # A random model must neither stop by itself nor write image tokens.
    whole.generation_config.update(eos_token_id=None, pad_token_id=0)
    whole.generation_config.update(suppress_tokens=[image_token])
    return whole


def prompt(model: Any, shape: Shape, *, images: int, batch: int) -> dict[str, Tensor]:
    """Text, ``images`` images, text: inputs for ``generate``."""
    device = model.device
    ids = torch.randint(5, shape.vocabulary - 5, (batch, 40 + images * shape.image_tokens))
    ids[:, 20 : 20 + images * shape.image_tokens] = shape.vocabulary - 1
    side = 14 * shape.grid
    pixels = torch.randn(batch * images, 3, side, side)
    return {
        "input_ids": ids.to(device),
        "attention_mask": torch.ones_like(ids).to(device),
        "pixel_values": pixels.to(device, model.dtype),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What the command line asked for, built.

    ``inputs`` go to ``generate`` of ``model``; ``label`` names the result's file.
    """

    options: argparse.Namespace
    device: torch.device
    shape: Shape
    model: Any
    inputs: dict[str, Tensor]

    @property
    def label(self) -> str:
        """Shape, image tokens, batch, layers and kind of device."""
        options, shape = self.options, self.shape
        tokens = options.images * shape.image_tokens
        return f"{shape.name}-{tokens}-b{options.batch}-{options.layers}-{self.device.type}"

    def record(self, name: str, result: dict[str, Any]) -> None:
        """Write the result as ``name-label.json`` and show it."""
        known = vars(self.options) | environment(self.device)
        print(record(f"{name}-{self.label}", known | result).read_text(encoding="utf-8"))


def decoding_parser(description: str) -> argparse.ArgumentParser:
    """The options that all benchmarks of decoding have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=11)
    return parser


def set_up(options: argparse.Namespace) -> Bench:
    """The model and the prompt for these options; bf16 on a GPU, else one thread of float32."""
    steady_heap()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if device.type == "cpu":
        torch.set_num_threads(1)
    shape = SHAPES[options.shape]
    model = build(shape, device, dtype)
    inputs = prompt(model, shape, images=options.images, batch=options.batch)
    return Bench(options, device, shape, model, inputs)


def watched_layers(model: Any, layers: str) -> tuple[int, ...]:
    """``"all"``, ``"scaled"`` (the middle layers) or a range such as ``"5-18"``."""
    anatomy = Anatomy.of(model)
    if layers == "all":
        return anatomy.layers
    if layers == "scaled":
        return LayerRange.scaled(anatomy.num_layers).layers
    return LayerRange.parse(layers, anatomy.num_layers).layers


class _Take(LogitsProcessor):
    """Takes each step and brings it to the host. A class: generate asks for the signature at every
    step, which costs a tenth of a small model's time if the processor is a bare function."""

    def __init__(self, tap: AttentionTap) -> None:
        self._tap = tap

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._tap.take().masses.cpu()
        return scores


def tap_only(layers: str) -> Watch:
    """The tap with the least processor there can be: one copy to the host per step."""

    @contextmanager
    def watch(model: Any, inputs: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
        anatomy = Anatomy.of(model)
        with AttentionTap(
            anatomy,
            anatomy.image_positions(inputs["input_ids"]),
            prompt_mask=inputs["attention_mask"],
            layers=watched_layers(model, layers),
        ) as tap:
            yield {"logits_processor": [_Take(tap)]}

    return watch


def summary(values: Iterable[float]) -> dict[str, float]:
    """Median and quartiles."""
    ordered = sorted(values)
    if len(ordered) == 1:
        return {"median": ordered[0], "q1": ordered[0], "q3": ordered[0], "runs": 1}
    low, middle, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return {"median": middle, "q1": low, "q3": high, "runs": len(ordered)}


def environment(device: torch.device) -> dict[str, Any]:
    """Where a result was measured."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "device": name or platform.machine(),
        "threads": torch.get_num_threads(),
        "steady_heap": _STEADY.keys() <= os.environ.keys(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "transformers", "sightline")},
    }


def record(name: str, result: dict[str, Any]) -> Path:
    """Write one result; a later run of the same name replaces it."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return path
