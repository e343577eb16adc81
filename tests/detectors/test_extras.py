"""A missing extra: the command that installs it is the one for how sightline came here."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import pytest
from sightline.detectors import extras


class _Installed:
    def __init__(self, origin: str | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.origin


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'sightline[serve]'"),
        ("not JSON", "pip install 'sightline[serve]'"),
        (
            json.dumps({"url": "file:///a/sightline-0.1.0-py3-none-any.whl", "archive_info": {}}),
            "pip install 'sightline[serve]'",
        ),
        (
            json.dumps({"url": "file:///my%20clones/it", "dir_info": {"editable": True}}),
            "pip install -e '/my clones/it[serve]'",
        ),
        (json.dumps({"url": "file:///it", "dir_info": {}}), "pip install '/it[serve]'"),
    ],
)
def test_the_command_is_of_where_it_came_from(
    monkeypatch: pytest.MonkeyPatch, origin: str | None, command: str
) -> None:
    """From a registry or a wheel by name; from a folder by its place."""
    monkeypatch.setattr(extras, "distribution", lambda name: _Installed(origin))
    assert extras.remedy("serve") == command


def test_a_tree_that_was_never_installed_has_a_remedy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder on the path is enough to import it."""

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", missing)
    assert extras.remedy("ray") == "pip install 'sightline[ray]'"
