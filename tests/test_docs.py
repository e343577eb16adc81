"""What the pages promise: links that lead somewhere, blocks that run, figures that agree."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import click
import pytest
from sightline.monitor.cli.main import main
from sightline.monitor.report import Report
from sightline.monitor.report.sections import ActionSection, CalibrationSection, MentionSection
from sightline.monitor.serve.limits import Limits

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
PAGES: Final = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
OTHERS: Final = {
    "PIL",
    "numpy",
    "openai",
    "ray",
    "sklearn",
    "spacy",
    "tests",
    "torch",
    "transformers",
}
"""What else the blocks of Python may import."""

BENCHMARKS: Final = ROOT / "tests" / "benchmarks" / "results"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", _text(page), flags=re.DOTALL | re.MULTILINE)


def _prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", _text(page), flags=re.DOTALL | re.MULTILINE)


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# --- links ------------------------------------------------------------------------------------


def _anchors(page: Path) -> set[str]:
    """The names of its headings, as GitHub and the site make them."""
    found = re.findall(r"^#+ +(.+)$", _prose(page), flags=re.MULTILINE)
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", text).lower() for text in found)
    return {re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link within the repository names a file that is there, and a heading that it has."""
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{_name(page)}: {target}"
        if anchor:
            assert anchor in _anchors(file), f"{_name(page)}: {target}"


def test_the_list_names_every_page() -> None:
    """docs/README.md leads to every page of docs/."""
    linked = set(re.findall(r"\]\(([^)#\s]+)", _text(DOCS / "README.md")))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}
    assert pages <= linked, pages - linked


# --- code -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in _text(page)], ids=_name)
def test_python_blocks_compile_and_import_what_is_there(page: Path) -> None:
    """Each block is Python, and each name it imports from sightline exists."""
    for block in _blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            names: list[tuple[str, str | None]] = []
            if isinstance(node, ast.Import):
                names = [(alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [(node.module, alias.name) for alias in node.names]
            for module, name in names:
                if module.split(".")[0] != "sightline":
                    assert module.split(".")[0] in sys.stdlib_module_names | OTHERS, module
                elif name is None:
                    import_module(module)
                else:
                    assert hasattr(import_module(module), name), f"{module}.{name}"


def _calls(page: Path) -> Iterator[list[str]]:
    """The words of each sightline command in the page's shell blocks, and in its running text."""
    lines = [
        line for block in _blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"(?<!`)`(sightline [^`\n]+)`(?!`)", _prose(page))
    for line in lines:
        command = re.split(r"\s(?:\||#|&&|>|2>)", f" {line}".partition(" #")[0])[0]
        if "sightline" in command.split()[:1]:
            yield shlex.split(command)[1:]


@pytest.mark.parametrize("page", [page for page in PAGES if list(_calls(page))], ids=_name)
def test_commands_are_spelled_right(page: Path) -> None:
    """Every sightline command exists and has the options shown, by the parsers themselves."""
    for words in _calls(page):
        command: click.Command | None = main
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            name = rest.pop(0)
            command = command.get_command(click.Context(command), name)
            assert command is not None, f"{_name(page)}: sightline {' '.join(words)}"
        assert command is not None
        known = {
            option: parameter
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for word in rest:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{_name(page)}: {' '.join(words)}: {word}"


# --- figures ----------------------------------------------------------------------------------


def _tables(text: str) -> Iterator[tuple[list[str], dict[str, list[str]]]]:
    """Header, and rows by their first cell, of every table."""
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, flags=re.MULTILINE):
        head, _, *rows = (
            [cell.strip().replace("**", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.splitlines()
        )
        yield head, {row[0]: row for row in rows}


@pytest.mark.parametrize(
    ("short", "full", "first"),
    [
        ("README.md", "docs/detectors.md", "detector"),
        ("README.md", "docs/policies.md", "way"),
        ("README.md", "docs/speed.md", "model"),
        ("docs/act-on-flags.md", "docs/policies.md", "way"),
    ],
)
def test_short_tables_repeat_the_full_ones(short: str, full: str, first: str) -> None:
    """A few figures, with their intervals, are those of the page that has them all."""
    columns, some = next(t for t in _tables(_text(ROOT / short)) if t[0][0] == first)
    head, rows = next(t for t in _tables(_text(ROOT / full)) if t[0][0] == first)
    assert len(some) >= 2
    assert len(columns) >= 3
    for name, cells in some.items():
        for column, cell in list(zip(columns, cells, strict=True))[1:]:
            assert cell == rows[name][head.index(column)], (full, name, column)


def test_the_line_on_models_is_the_tables() -> None:
    """README says of the support table what stands above it."""
    line = next(line for line in _text(DOCS / "models.md").splitlines() if line.startswith("Of "))
    assert line in _text(ROOT / "README.md").splitlines()


def test_what_watching_costs_is_what_was_measured() -> None:
    """The ratios of docs/speed.md are those that the benchmarks wrote."""
    measured = {
        "0.7 B parameters, 24 layers, 576 image tokens": "pair-0.7b-576-b1-range-cpu",
        "the small model's shape, 12 layers, 64 image tokens": "pair-small-64-b1-range-cpu",
        "the same, with a listener on every event": "pair-events-small-64-b1-range-cpu",
    }
    head, rows = next(t for t in _tables(_text(DOCS / "speed.md")) if t[0][0] == "model")
    for name, file in measured.items():
        found = json.loads(_text(BENCHMARKS / f"{file}.json"))
        keys = {"ratio, whole monitor": "ratio", "own code": "own_ratio", "noise": "noise"}
        for column, key in keys.items():
            place = next(i for i, title in enumerate(head) if title.startswith(column))
            of = found[key]
            text = f"{of['median']:.2f} [{of['q1']:.2f}-{of['q3']:.2f}]"
            assert rows[name][place] == text, (name, column)


# --- the report and the site ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "heading"),
    [
        (Report, "## A report"),
        (MentionSection, "## A mention"),
        (ActionSection, "## An action"),
        (CalibrationSection, "## The calibration"),
    ],
)
def test_the_fields_of_the_report_are_all_explained(section: Any, heading: str) -> None:
    """The page on the report names every field of it."""
    told = _text(DOCS / "report-schema.md").partition(f"{heading}\n")[2].partition("\n## ")[0]
    for field in section.model_fields:
        assert f"`{field}`" in told, field


def test_the_servers_limits_are_told() -> None:
    """The page on serving has the number of each bound on requests."""
    told = _text(DOCS / "serve.md").partition("## Limits\n")[2]
    for name, value in asdict(Limits()).items():
        text = f"{value / 1e6:g} MB" if name == "body_bytes" else f"{value:,.0f}"
        assert re.search(rf"(?<![\d,]){text}(?!,?\d)", told), (name, text)


def test_every_command_is_told_of() -> None:
    """Each command that pyproject declares stands on some page, and is installed."""
    groups = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]["entry-points"]
    told = "\n".join(map(_text, PAGES))
    for group, commands in groups.items():
        words = ["sightline", *group.split(".")[2:]]
        assert commands.keys() <= {point.name for point in entry_points(group=group)}
        for name in commands:
            assert " ".join([*words, name]) in told, (group, name)


def test_the_reference_shows_what_is_there() -> None:
    """Every module that a page of the reference names can be imported, and none stands twice."""
    named = [
        name
        for page in sorted((DOCS / "reference").glob("*.md"))
        for name in re.findall(r"^::: (\S+)$", _text(page), flags=re.MULTILINE)
    ]
    assert named
    assert len(named) == len(set(named))
    for name in named:
        assert import_module(name).__doc__, name
