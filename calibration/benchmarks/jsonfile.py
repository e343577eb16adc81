"""Reading the JSON of others: a list of objects, or an object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import BenchmarkError


def read_text(path: str | Path, what: str) -> str:
    """A file's text.

    Raises:
        BenchmarkError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{what} could not be read from {path}: {error}") from error


def read_json(path: str | Path, what: str) -> Any:
    """A file that is one JSON value.

    Raises:
        BenchmarkError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(read_text(path, what))
    except json.JSONDecodeError as error:
        raise BenchmarkError(
            f"{path} must be JSON, line {error.lineno} is not: {error.msg}. Fetch or write it "
            f"again."
        ) from error


def read_objects(path: str | Path, what: str) -> list[tuple[int, Mapping[str, Any]]]:
    """The objects of a JSON list, or of JSON lines, each with its place from 1: entry or line.

    Raises:
        BenchmarkError: it cannot be read, holds no object, or something else than objects.
    """
    return parse_objects(read_text(path, what), path, what)


def parse_objects(text: str, path: str | Path, what: str) -> list[tuple[int, Mapping[str, Any]]]:
    """:func:`read_objects` on the text of a file."""
    if text.lstrip()[:1] == "[":
        try:
            rows = list(enumerate(json.loads(text), 1))
        except json.JSONDecodeError as error:
            raise BenchmarkError(
                f"{path} must be a JSON list, line {error.lineno} is not: {error.msg}. Fetch or "
                f"write it again."
            ) from error
    else:
        rows = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    rows.append((number, json.loads(line)))
                except json.JSONDecodeError as error:
                    raise BenchmarkError(
                        f"{path}, line {number} must be JSON, was: {line.strip()[:40]!r}. Mend or "
                        f"remove the line."
                    ) from error
    for number, row in rows:
        if not isinstance(row, dict):
            raise BenchmarkError(
                f"{path}, entry {number} must be a JSON object, was: {str(row)[:40]!r}."
            )
    if not rows:
        raise BenchmarkError(f"{path} must hold {what.lower()}, it holds none.")
    return rows
