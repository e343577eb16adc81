"""The page itself, written piece by piece, so that memory does not grow with the reports."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from ..report import Failure, Report
from .entry import about, entry
from .thumbnails import MANY, SIDE, SMALL, thumbnail

_AT_ONCE: Final = 50
"""Pictures that the page unpacks together: as many as a reader sees and a few more."""


def page(
    records: Iterable[Report | Failure],
    *,
    count: int,
    title: str = "Captions",
    base: Path = Path(),
) -> Iterator[str]:
    """The page in pieces; joined, they are one HTML file that loads nothing and asks nobody.

    What captions, labels and file names say is text there, whatever it looks like: it travels as
    JSON and is never read as HTML, and the page forbids itself every script but its own.

    Args:
        records: lines of a reports file, in the order in which the page lists them.
        count: how many there are; many get smaller pictures.
        title: what the page is called.
        base: the folder that the images' paths start from.
    """
    style = _asset("common.css") + _asset("report.css")
    script = _asset("common.js") + _asset("report.js").removeprefix('"use strict";\n')
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
    side = SMALL if count >= MANY else SIDE
    coming = iter(records)
    while some := list(islice(coming, _AT_ONCE)):
        entries: list[JsonValue] = []
        pictures: list[JsonValue] = []
        for record in some:
            mine: int | None = None
            if isinstance(record, Report):
                mine = abouts.setdefault(json.dumps(about(record)), len(abouts))
            entries.append(entry(record, mine))
            pictures.append(_picture(record, base, side))
        yield _data("entries", entries)
        yield _data("pictures", pictures)
    yield _data("abouts", [json.loads(one) for one in abouts])
    yield f"<script>{script}</script>\n</body>\n</html>\n"


def _picture(record: Report | Failure, base: Path, side: int) -> str | None:
    if isinstance(record, Failure) or record.image is None:
        return None
    return thumbnail(base / record.image.path, side=side)


def _data(kind: str, values: Any) -> str:
    """Values as JSON in a script that is not run; nothing in them can end it."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f'<script type="application/json" class="{kind}">{safe}</script>\n'


def _asset(name: str) -> str:
    return files("sightline.monitor").joinpath("data", "web", name).read_text(encoding="utf-8")
