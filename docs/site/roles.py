"""Cross-references in docstrings, ``:class:`.Report` `` and the like, for a reader of Markdown."""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_ROLE: Final = re.compile(r":(?:class|meth|func|mod|data|attr|exc):`([^`]+)`")


class Roles(griffe.Extension):
    """Roles become code, with the name that the reader of the page knows the object by."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of each object as it is loaded."""
        if obj.docstring is not None:
            text = _ROLE.sub(_shown, obj.docstring.value)
            obj.docstring.value = re.sub(r"::(?=\n\n)", ":", text)


def _shown(found: re.Match[str]) -> str:
    target = found[1]
    short = target.rsplit(".", 1)[-1] if target[0] in "~." else target
    return f"`{short}`"
