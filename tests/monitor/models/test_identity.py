"""Which model it is: commit, content of the weights, or nothing that is known."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sightline.monitor.models.identity import identity
from transformers import AutoModelForImageTextToText


def load(folder: Path) -> Any:
    """The tiny model from a folder of its own."""
    return AutoModelForImageTextToText.from_pretrained(folder)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder that may be changed."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def test_weights_are_told_by_their_content(folder: Path, tiny_folder: Path) -> None:
    """The same file elsewhere is the same revision; another name is another name."""
    here, there = identity(load(folder), "here"), identity(load(tiny_folder))
    assert here.revision == there.revision
    assert here.revision.startswith("sha256:")
    assert (here.name, there.name) == ("here", str(tiny_folder))
    assert (here.architecture, here.num_layers, here.num_heads) == (
        "LlavaForConditionalGeneration",
        6,
        4,
    )


def test_other_weights_are_another_revision(folder: Path) -> None:
    """A file that was written again is read again, within one process."""
    model = load(folder)
    before = identity(model).revision
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert identity(model).revision != before


def test_a_commit_goes_before_content(folder: Path) -> None:
    """What the hub calls the weights is what we call them."""
    model = load(folder)
    model.config._commit_hash = "0123abcd"
    assert identity(model).revision == "0123abcd"


def test_a_model_in_memory_has_no_revision(folder: Path) -> None:
    """Nothing is guessed: what was never loaded has no revision, nor has what is gone."""
    model = load(folder)
    shutil.rmtree(folder)
    assert identity(model).revision == ""
    model.config.name_or_path = ""
    found = identity(model)
    assert (found.revision, found.name) == ("", "LlavaForConditionalGeneration")
