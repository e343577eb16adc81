"""What the pages link to outside docs/ becomes part of the site: examples, schemas, the changelog.

On GitHub those links lead into the repository; the site has no repository beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[2]
BESIDE: Final = "repository"
"""The folder of the site that holds what lies beside docs/ in the repository."""

STYLE: Final = """\
.md-typeset table:not([class]) { font-size: .66rem; display: block; overflow-x: auto; }
.md-typeset table:not([class]) td sub { white-space: nowrap; opacity: .75; }
.md-grid { max-width: 76rem; }
"""

_LINK: Final = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what is linked to from pages, and from what was added."""
    files.append(File.generated(config, "site.css", content=STYLE))
    waiting = [file for file in files.documentation_pages() if file.abs_src_path]
    known: set[str] = set()
    while waiting:
        page = waiting.pop()
        here = _in_repository(page.src_uri)
        for target in _targets(page.content_string, here):
            path = ROOT / target
            if target in known or target.startswith("docs/") or not path.is_file():
                continue
            known.add(target)
            shown = InclusionLevel.NOT_IN_NAV
            added = File.generated(
                config, f"{BESIDE}/{target}", abs_src_path=str(path), inclusion=shown
            )
            files.append(added)
            if added.is_documentation_page():
                waiting.append(added)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links out of docs/, and from what lies there back into it, lead to their places here."""
    here = _in_repository(page.file.src_uri)

    def moved(found: re.Match[str]) -> str:
        target = _resolved(found[1], here)
        there = target.removeprefix("docs/") if target.startswith("docs/") else f"{BESIDE}/{target}"
        if files.get_file_from_path(there) is None:
            return found[1]  # left as it is: the strict build says what is wrong with it
        return os.path.relpath(there, PurePosixPath(page.file.src_uri).parent)

    # GitHub reads Markdown inside HTML; here it has to be asked for.
    return _LINK.sub(moved, markdown).replace("<details>", '<details markdown="1">')


def _in_repository(uri: str) -> str:
    """The place in the repository of a file of the site."""
    return uri.removeprefix(f"{BESIDE}/") if uri.startswith(f"{BESIDE}/") else f"docs/{uri}"


def _resolved(target: str, here: str) -> str:
    return os.path.normpath(PurePosixPath(here).parent / target)


def _targets(markdown: str, here: str) -> Iterator[str]:
    for found in _LINK.finditer(markdown):
        yield _resolved(found[1], here)
