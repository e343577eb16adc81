"""What to type where an optional dependency is missing."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit


def remedy(extra: str) -> str:
    """The command that installs an extra of this distribution, from where it was installed.

    Example::

        >>> remedy("serve")
        "pip install 'sightline[serve]'"

    Where a folder was installed, such as a clone, that folder: ``pip install -e '/clone[serve]'``.
    """
    try:
        origin = json.loads(distribution("sightline").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, json.JSONDecodeError):
        origin = {}
    if "dir_info" not in origin:
        return f"pip install 'sightline[{extra}]'"
    option = "-e " if origin["dir_info"].get("editable") else ""
    return f"pip install {option}'{unquote(urlsplit(origin['url']).path)}[{extra}]'"
