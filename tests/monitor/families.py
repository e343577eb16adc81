"""Fourteen families that stand for all: those that the run-time's own tests go through.

The others are in the support table, which ``python -m tests.support.table`` measures.
"""

from __future__ import annotations

from ..support.family import Family, build
from ..support.parts import IMAGE

FAMILIES = (
    "llava",
    "llava_next",
    "llava_onevision",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "internvl",
    "idefics3",
    "smolvlm",
    "gemma3",
    "paligemma",
    "mistral3",
    "aya_vision",
    "glm4v",
)

__all__ = ["FAMILIES", "IMAGE", "Family", "build"]
