"""What a page brings along of a model's inside, packed until a reader looks at it."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from ..report import Report


def packed_inside(report: Report) -> str | None:
    """The inside of a caption as base64 of gzip of JSON; ``None`` where the report has none.

    The nouns that can be looked at are in it, by their place among the mentions: those that name
    something visible, and flagged ones.
    """
    if report.inside is None:
        return None
    known: dict[str, Any] = report.inside.model_dump(mode="json")
    known["mentions"] = {
        place: mention.inside.model_dump(mode="json")
        for place, mention in enumerate(report.mentions)
        if mention.inside is not None and (mention.visible or mention.flagged)
    }
    text = json.dumps(_short(known), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Without a time in its head, the same report gives the same page.
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode("ascii")


def _short(value: Any) -> Any:
    """Numbers with the digits that can be seen."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return [_short(one) for one in value] if isinstance(value, list) else value
