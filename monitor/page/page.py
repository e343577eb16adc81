"""The page itself, written piece by piece, so that memory does not grow with the reports."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from ..report import Failure, Report
from .entry import about, entry
from .images import Images
from .inside import packed_inside

_AT_ONCE: Final = 50
"""Pictures that the page unpacks together: as many as a reader sees and a few more."""

_SCRIPTS: Final = (
    "common",
    "inside",
    "heatmap",
    "profile",
    "sight",
    "panel",
    "look",
    "difference",
    "entries",
    "summary",
    "list",
    "caption",
    "actions",
    "report",
)


@dataclass(frozen=True, slots=True, eq=False)
class Captions:
    """Lines of a reports file, or of several that belong together.

    Attributes:
        records: in the order in which the page lists them; read once.
        count: how many there are.
        name: what readers know them by.
    """

    records: Iterable[Report | Failure]
    count: int
    name: str = ""


def page(
    records: Iterable[Report | Failure],
    *,
    count: int,
    title: str = "Captions",
    base: Path = Path(),
) -> Iterator[str]:
    """The page of one file's reports; see :func:`page_of`.

    Args:
        records: lines of a reports file, in the order in which the page lists them.
        count: how many there are; many get smaller pictures.
        title: what the page is called.
        base: the folder that the images' paths start from.
    """
    return page_of([Captions(records, count)], title=title, base=base)


def page_of(
    captions: Sequence[Captions], *, title: str = "Captions", base: Path = Path()
) -> Iterator[str]:
    """The page in pieces; joined, they are one HTML file that loads nothing and asks nobody.

    Where several files have captions of the same images, each image's stand side by side.

    What captions, labels and file names say is text there, whatever it looks like: it travels as
    JSON and is never read as HTML, and the page forbids itself every script but its own.

    Args:
        captions: what is shown; what a file has of an image is compared with the first file's.
        title: what the page is called.
        base: the folder that the images' paths start from.
    """
    style = "".join(map(_asset, ("common.css", "inside.css", "report.css")))
    script = '"use strict";\n' + "".join(
        _asset(f"{name}.js").removeprefix('"use strict";\n') for name in _SCRIPTS
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    body = _asset("report.html").replace("{title}", escape(title))
    yield (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}"
    )
    abouts: dict[str, int] = {}
    several = len(captions) > 1
    images = Images(base, count=sum(one.count for one in captions), compared=several)
    coming = ((file, record) for file, one in enumerate(captions) for record in one.records)
    place = 0
    while some := list(islice(coming, _AT_ONCE)):
        entries: list[JsonValue] = []
        pictures: list[JsonValue] = []
        for file, record in some:
            mine: int | None = None
            if isinstance(record, Report):
                mine = abouts.setdefault(json.dumps(about(record)), len(abouts))
                inside = packed_inside(record)
                if inside is not None:
                    yield (
                        f'<script type="text/plain" class="inside" data-entry="{place}">{inside}'
                        f"</script>\n"
                    )
            known = entry(record, mine)
            if several:
                known["file"] = file
            first = images.first(record, place)
            if first is not None:
                known["with"] = first
            entries.append(known)
            pictures.append(images.picture(record))
            place += 1
        yield _data("entries", entries)
        yield _data("pictures", pictures)
    yield _data("abouts", [json.loads(one) for one in abouts])
    yield _data("files", [one.name for one in captions])
    yield f"<script>{script}</script>\n</body>\n</html>\n"


def _data(kind: str, values: Any) -> str:
    """Values as JSON in a script that is not run; nothing in them can end it."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f'<script type="application/json" class="{kind}">{safe}</script>\n'


def _asset(name: str) -> str:
    return files("sightline.monitor").joinpath("data", "web", name).read_text(encoding="utf-8")
