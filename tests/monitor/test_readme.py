"""What README promises, done as it is written there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import click
import pytest
from click.testing import CliRunner
from PIL import Image
from sightline.monitor.cli.main import main

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_examples_run(
    tiny_folder: Path,
    tmp_path: Path,
    pictures: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each block runs after the one before, on a tiny model in place of LLaVA-1.5."""
    pictures[0].save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = _blocks("python")
    assert len(blocks) >= 2
    for block in blocks:
        block = block.replace("llava-hf/llava-1.5-7b-hf", str(tiny_folder))
        exec(block.replace("max_new_tokens=512", "max_new_tokens=12"), names)
    assert names["watch"].reports[0].text in capsys.readouterr().out
    assert names["watch"].reports[0].finish in ("eos", "length")


def test_the_command_line_examples_are_spelled_right() -> None:
    """Every sightline command in README exists and has the options shown."""
    lines = [line for block in _blocks("bash") for line in block.splitlines()]
    calls = [line.partition("#")[0].split("|")[0].split() for line in lines if "sightline" in line]
    assert len(calls) >= 5
    for _, *words in calls:
        options = [word for word in words if word.startswith("--")]
        path: list[str] = []
        command: click.Command | None = main
        while isinstance(command, click.Group):
            path.append(words[len(path)])
            command = command.get_command(click.Context(command), path[-1])
        shown = CliRunner().invoke(main, [*path, "--help"]).output
        assert "Usage" in shown
        for option in options:
            assert option in shown, f"{' '.join(path)} {option}"


def test_the_extras_exist() -> None:
    """The extra that README's test command installs is one of pyproject's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in re.findall(r"'\.\[(\w+)\]'", README):
        assert extra in project["optional-dependencies"]


def test_the_fields_of_the_report_are_all_explained() -> None:
    """README's table names every field of a report."""
    from sightline.monitor.report import Report

    table = README.partition("## The report")[2].partition("##")[0]
    for field in Report.model_fields:
        assert f"`{field}`" in table, field
