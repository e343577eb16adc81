"""One line of a reports file: read, and described by a JSON Schema."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from .sections import VERSION, Failure, Report

Record = Annotated[Report | Failure, Field(discriminator="kind")]
"""One line of a reports file."""

_RECORD: Final[TypeAdapter[Report | Failure]] = TypeAdapter(Record)


def parse_record(line: str | bytes) -> Report | Failure:
    """Read one line of a reports file.

    Raises:
        pydantic.ValidationError: the line is not a record of a version this package knows.
    """
    return _RECORD.validate_json(line)


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one line of a reports file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"sightline report, version {VERSION}",
        **_RECORD.json_schema(mode="serialization"),
    }


def shipped_schema() -> dict[str, Any]:
    """The schema file that travels with the package."""
    text = (
        files("sightline.monitor").joinpath("data", "schema", f"report-v{VERSION}.json").read_text()
    )
    loaded: dict[str, Any] = json.loads(text)
    return loaded
