"""The plan of the house: what is packaged, and which room may look into which."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).parent.parent
ROOMS: Final = ("detectors", "monitor", "calibration")
"""In the order of their floors: a room may import from those before it, never from those after."""


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _sources(room: str) -> Iterator[Path]:
    return (ROOT / room).rglob("*.py")


def test_every_package_is_listed() -> None:
    """A folder with Python files is a package of the distribution, or nobody gets it."""
    found = {
        ".".join(("sightline", *path.parent.relative_to(ROOT).parts))
        for room in ROOMS
        for path in _sources(room)
    }
    assert set(_pyproject()["tool"]["setuptools"]["packages"]) == found


@pytest.mark.parametrize("room", ROOMS)
def test_every_package_has_an_init_and_types(room: str) -> None:
    """Each folder is a regular package, and each room says that it is typed."""
    for folder in {path.parent for path in _sources(room)}:
        assert (folder / "__init__.py").is_file(), folder
    assert files(f"sightline.{room}").joinpath("py.typed").is_file()


@pytest.mark.parametrize("room", ROOMS)
def test_imports_between_rooms_go_down_only(room: str) -> None:
    """detectors <- monitor <- calibration: from itself and those below, and relatively."""
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for path in _sources(room):
        package = path.relative_to(ROOT).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                assert not [name for name in names if name.split(".")[0] == "sightline"], path
            elif isinstance(node, ast.ImportFrom):
                module = (node.module or "").split(".")
                assert node.level > 0 or module[0] != "sightline", f"{path}:{node.lineno}"
                if node.level:
                    base = ("sightline", *package)[: -node.level]
                    target = [*base, *[part for part in module if part]]
                    if len(target) == 1:
                        target.append(node.names[0].name)
                    assert target[1] in allowed, f"{path}:{node.lineno} imports {'.'.join(target)}"


def test_detectors_know_nothing_of_models() -> None:
    """The lowest room runs without torch and transformers."""
    for path in _sources("detectors"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            heavy = {"torch", "transformers", "spacy", "nltk"} & {n.split(".")[0] for n in names}
            assert not heavy, f"{path} imports {heavy}"


def test_the_floor_is_what_is_promised() -> None:
    """What the floor constraints pin is the least that pyproject.toml allows: each of its
    dependencies, but for torch, whose oldest wheels are gigabytes, and is at least allowed."""
    pinned: dict[str, Version] = {}
    for line in (ROOT / "constraints-floor.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pinned[canonicalize_name(name)] = Version(version)
    project = _pyproject()["project"]
    extras = project["optional-dependencies"]
    promised = [Requirement(text) for text in (*project["dependencies"], *extras["calibration"])]
    for one in promised:
        found = pinned[canonicalize_name(one.name)]
        assert found in one.specifier, one
        least = [s.version for s in one.specifier if s.operator == ">="]
        assert one.name == "torch" or [found] == [Version(version) for version in least], one


def test_every_command_is_installed() -> None:
    """The entry points that are installed are those of pyproject, and each can be found."""
    declared = _pyproject()["project"]["entry-points"]["sightline.commands"]
    installed = {point.name: point.value for point in entry_points(group="sightline.commands")}
    assert declared.items() <= installed.items()


def test_no_private_data_is_needed() -> None:
    """Sources name neither the folder this checkout lies in nor the data beside it."""
    for room in ROOMS:
        for path in _sources(room):
            text = path.read_text(encoding="utf-8")
            assert str(ROOT) not in text, path
            assert "../shared" not in text, path


def test_licences_travel() -> None:
    """What others' data asks for is in NOTICE: the treebank and the synonyms."""
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for words in ("English Web Treebank", "CC BY-SA 4.0", "Object Hallucination", "BSD 2-Clause"):
        assert words in notice
    assert files("sightline.monitor").joinpath("data", "taggers", "LICENSE").is_file()
