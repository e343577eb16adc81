"""Names on the Hugging Face hub, up to the download: the files a real repository has, found in the
hub's cache by the name alone, with the network cut off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from PIL import Image
from safetensors.torch import load_file, save_file
from sightline.monitor.errors import ModelError
from sightline.monitor.models.loading import load
from sightline.monitor.models.unavailable import remedy
from sightline.monitor.report import Report, parse_record

from .hub import CHECKPOINTS, cache, llava

Call = Callable[..., subprocess.CompletedProcess[str]]
VIDEO = ("Qwen/Qwen2.5-VL-3B-Instruct", "OpenGVLab/InternVL3-1B-hf")
"""Models whose processors take videos too."""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What HF_HOME names: a cache that holds every stand-in under its model's name."""
    home = tmp_path_factory.mktemp("hf")
    for name, write in CHECKPOINTS.items():
        folder = tmp_path_factory.mktemp("checkpoint")
        write(folder)
        cache(home, name, folder)
    return home


@pytest.fixture
def sightline(home: Path) -> Call:
    """Runs the command in a process of its own, with that cache and without the hub."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = "from sightline.monitor.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_name_is_enough(
    sightline: Call, pictures: list[Image.Image], tmp_path: Path, name: str
) -> None:
    """`sightline caption --model NAME` finds config, weights, tokenizer, processor and template;
    what needs a package that is not here says which."""
    pictures[0].save(tmp_path / "a.png")
    done = sightline("caption", tmp_path, "--model", name, "--json", "--max-new-tokens", 4)
    if name in VIDEO and find_spec("torchvision") is None:
        assert done.returncode == 1
        assert "pip install torchvision" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    report = parse_record(line)
    assert isinstance(report, Report)
    assert report.model.name == name
    assert "Please help me describe the image in detail." in report.prompt
    assert len(report.tokens) <= 4
    if name.startswith("llava-hf"):
        assert (report.layers.first, report.layers.last) == (5, 18)
        assert report.layers.source == "published"
        assert report.calibration != "uncalibrated"
        assert report.calibration.kind == "provisional"
    else:
        assert report.layers.source == "scaled"
        assert report.calibration == "uncalibrated"


@pytest.mark.once
def test_a_cached_config_says_what_would_be_used(sightline: Call) -> None:
    """`sightline presets NAME` reads it there, and downloads nothing."""
    done = sightline("presets", "llava-hf/llava-1.5-7b-hf", "--json")
    found = json.loads(done.stdout)
    assert found["architecture"] == "LlavaForConditionalGeneration"
    assert (found["num_layers"], found["layers"]["source"]) == (32, "published")


def test_a_name_that_is_not_cached_says_what_to_do(sightline: Call, tmp_path: Path) -> None:
    """Without a network: what to run where there is one, and the name that was likely meant."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = sightline("caption", tmp_path, "--model", "llava-hf/llava-1.5-13b")
    assert done.returncode == 1
    assert "hf download llava-hf/llava-1.5-13b" in done.stderr
    assert "Did you mean llava-hf/llava-1.5-13b-hf?" in done.stderr


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (GatedRepoError, "hf auth login"),
        (RepositoryNotFoundError, "Check the spelling"),
        (LocalEntryNotFoundError, "HF_HUB_OFFLINE"),
        (HFValidationError, "owner/model"),
        (EntryNotFoundError, "made for transformers"),
    ],
)
def test_each_reason_has_its_remedy(kind: type[Exception], told: str) -> None:
    """The hub's own error is found behind transformers'."""
    behind = kind.__new__(kind)
    error = OSError("could not")
    error.__cause__ = behind
    assert told in remedy("owner/model", error)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    """Loaded all the same, it would be filled up with random numbers and write noise."""
    llava(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    gone = next(name for name in weights if "layers.3.self_attn.q_proj" in name)
    del weights[gone]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1, such as .*q_proj.*noise"):
        load(tmp_path)
