"""One line of CSV for each noun: for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from ..report import Failure, Report

COLUMNS: Final = (
    "image",
    "caption",
    "word",
    "object",
    "start",
    "end",
    "flagged",
    "action",
    "probability",
    "score",
    "threshold",
    "svar",
    "log_prob",
    "entropy",
)
"""``start`` and ``end`` are characters of the caption; ``log_prob`` (natural) and ``entropy``
(nats) those of the noun's first token. A failed image has no line."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def spreadsheet(records: Iterable[Report | Failure]) -> Iterator[str]:
    """The lines of a CSV file, its header first.

    Text that a spreadsheet would run as a formula is quoted with an apostrophe, as OWASP advises:
    captions and file names may be anyone's.
    """
    yield _line(COLUMNS)
    for record in records:
        if isinstance(record, Failure):
            continue
        image = "" if record.image is None else record.image.path
        for mention in record.mentions:
            inside = mention.first_token < len(record.tokens)
            first = record.tokens[mention.first_token] if inside else None
            yield _line(
                (
                    _text(image),
                    _text(record.text),
                    _text(mention.word),
                    _text(mention.object or ""),
                    mention.start,
                    mention.end,
                    str(mention.flagged).lower(),
                    mention.action,
                    _number(mention.probability),
                    _number(mention.score),
                    _number(mention.threshold),
                    _number(mention.svar),
                    _number(None if first is None else first.log_prob),
                    _number(None if first is None else first.entropy),
                )
            )


def _line(values: Iterable[object]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(values)
    return written.getvalue()


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
