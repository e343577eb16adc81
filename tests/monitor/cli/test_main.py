"""The group: it finds its commands and loads only what is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import click
import pytest
from click.testing import CliRunner
from sightline.monitor.cli import commands as module
from sightline.monitor.cli.main import main


def test_help_lists_every_installed_command() -> None:
    """Each entry point of the group is listed, with the first line of its module's docstring."""
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, purpose in (("caption", "Caption images"), ("demo", "sample images")):
        line = next(line for line in result.output.splitlines() if line.split()[:1] == [name])
        assert purpose in line
    assert "sightline demo" in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["caption", "--help"], ["demo", "--help"]])
def test_help_imports_no_model_library(arguments: list[str]) -> None:
    """Help is at hand without torch, transformers or spaCy."""
    code = (
        "import sys\n"
        "from sightline.monitor.cli.main import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "print(sorted({'torch', 'transformers', 'spacy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Usage:" in done.stdout


def test_importing_the_package_is_cheap() -> None:
    """sightline.monitor loads its parts when they are used."""
    code = (
        "import sys, sightline.monitor as m\n"
        "assert 'Monitor' in dir(m)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there() -> None:
    """All names of sightline.monitor resolve; others are an AttributeError."""
    import sightline.monitor as package

    assert "Monitor" in package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="Manitor"):
        package.Manitor  # noqa: B018


def test_an_unknown_command_is_a_usage_error() -> None:
    """Exit code 2, and the name that was not found."""
    result = CliRunner().invoke(main, ["captoin"])
    assert result.exit_code == 2
    assert "captoin" in result.output


def test_a_command_that_is_no_command_says_who_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point that leads to something else is named."""
    point = EntryPoint("odd", "sys:version", "sightline.commands")
    monkeypatch.setattr(module, "_commands", lambda group: {"odd": point})
    result = CliRunner().invoke(main, ["odd"])
    assert result.exit_code == 1
    assert "'odd'" in result.output


def test_the_version_is_the_distributions() -> None:
    """--version prints it."""
    result = CliRunner().invoke(main, ["--version"])
    assert result.output.startswith("sightline, version ")


def test_commands_may_be_added_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution's entry point becomes a sub-command."""
    monkeypatch.setattr(sys.modules[__name__], "hello", click.Command("hello"), raising=False)
    point = EntryPoint("hello", f"{__name__}:hello", "sightline.commands")
    monkeypatch.setattr(module, "_commands", lambda group: {"hello": point})
    assert CliRunner().invoke(main, ["hello"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        (["schema"], "sightline report"),
        (["schema", "report"], "sightline report"),
        (["schema", "calibration"], "sightline calibration"),
    ],
)
def test_schemas_are_printed(arguments: list[str], title: str) -> None:
    """JSON on stdout; without a word, that of the reports."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"].startswith(title)
