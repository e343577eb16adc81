"""`sightline presets`: the table, and what would be used with one model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sightline.detectors.published import PUBLISHED
from sightline.monitor.cli.main import main


def _told(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["presets", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_every_published_model_is_listed() -> None:
    """On the terminal by name, layers and alpha; as JSON with prompt and source as well."""
    shown = CliRunner().invoke(main, ["presets"], env={"COLUMNS": "120"})
    assert shown.exit_code == 0
    rows = _told()["models"]
    for settings, row in zip(PUBLISHED, rows, strict=True):
        line = next(line for line in shown.stdout.splitlines() if line.startswith(settings.model))
        assert {settings.layers, f"{settings.alpha:g}"} <= set(line.split())
        assert (row["model"], row["alpha"]) == (settings.model, settings.alpha)
        assert (row["prompt"], row["source"]) == (settings.prompt, settings.source)
    assert "2411.16724" in shown.stdout


def test_a_published_name_is_enough() -> None:
    """Without its config the paper's depth is taken, and that is said."""
    found = _told("somebody/llava-v1.5-7b-copy")
    assert found["layers"] == {"first": 5, "last": 18, "source": "published"}
    assert found["calibration"]["kind"] == "provisional"
    assert found["published"]["alpha"] == 0.5
    assert "not on this machine" in found["reasons"][0]


def test_a_published_name_of_another_depth_gets_nothing_published() -> None:
    """The range is scaled, nothing is flagged, and the reasons say why."""
    found = _told("somebody/llava-v1.5-7b-copy", "--depth", "24")
    assert found["layers"] == {"first": 4, "last": 13, "source": "scaled"}
    assert (found["calibration"], found["published"]) == (None, None)
    assert any("another model" in reason for reason in found["reasons"])


def test_an_unknown_model_of_unknown_depth() -> None:
    """Nothing is made up."""
    found = _told("somebody/something")
    assert (found["layers"], found["num_layers"], found["calibration"]) == (None, None, None)
    shown = CliRunner().invoke(main, ["presets", "somebody/something"])
    assert "judged by    nothing" in shown.stdout


def test_the_model_that_ships() -> None:
    """Its own calibration says which layers, and judges."""
    found = _told("small")
    assert found["layers"]["source"] == "calibration"
    assert found["calibration"]["kind"] == "calibrated"
    assert found["architecture"] == "LlavaForConditionalGeneration"


def test_a_checkpoint_on_disk_says_its_depth(tiny_folder: Path) -> None:
    """The config decides; a depth that disagrees with it is refused."""
    found = _told(str(tiny_folder))
    assert (found["num_layers"], found["layers"]["source"]) == (6, "scaled")
    result = CliRunner().invoke(main, ["presets", str(tiny_folder), "--depth", "32"])
    assert result.exit_code == 1
    assert "6 layers, was: 32" in result.output


@pytest.mark.parametrize("arguments", [["--depth", "3"], ["small", "--depth", "0"]])
def test_a_depth_must_be_of_something(arguments: list[str]) -> None:
    """Without a model, or below 1, it is a usage error."""
    assert CliRunner().invoke(main, ["presets", *arguments]).exit_code == 2


def test_a_model_that_reads_no_images_is_refused(tmp_path: Path) -> None:
    """The exit code tells, and the message what kind it is."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    result = CliRunner().invoke(main, ["presets", str(tmp_path)])
    assert result.exit_code == 1
    assert "'llama'" in result.output
