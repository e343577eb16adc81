"""Flagged objects as SARIF 2.1.0 results: for code hosts and editors that show findings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote

from ..report import Failure, MentionSection, Report

RULE: Final = "hallucinated-object"
"""The one rule: the caption names an object that is likely not in the image."""


def sarif(records: Iterable[Report | Failure]) -> Iterator[str]:
    """The pieces of one SARIF log; a result for each flagged noun, a notification per failure.

    Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
    """
    results: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for record in records:
        if isinstance(record, Failure):
            failures.append(
                {
                    "level": "error",
                    "message": {"text": f"{record.error}: {record.message}"},
                    "locations": [_place(record.image)],
                }
            )
        else:
            results += [_result(record, one) for one in record.mentions if one.flagged]
    rule = {
        "id": RULE,
        "name": "HallucinatedObject",
        "shortDescription": {"text": "The caption names an object that is likely not there."},
        "defaultConfiguration": {"level": "warning"},
    }
    run = {
        "tool": {"driver": {"name": "sightline", "version": version("sightline"), "rules": [rule]}},
        "invocations": [
            {"executionSuccessful": True, "toolExecutionNotifications": failures},
        ],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    log = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    yield json.dumps(log, ensure_ascii=False, indent=1) + "\n"


def _result(record: Report, mention: MentionSection) -> dict[str, Any]:
    sure = "" if mention.probability is None else f" (probability {mention.probability:.0%})"
    name = mention.object or mention.word
    result: dict[str, Any] = {
        "ruleId": RULE,
        "ruleIndex": 0,
        "level": "warning",
        "message": {"text": f"{name!r} is likely made up{sure}, in: {record.text}"},
        "locations": [_place("" if record.image is None else record.image.path)],
        "properties": {
            "object": mention.object,
            "start": mention.start,
            "end": mention.end,
            "score": mention.score,
            "threshold": mention.threshold,
        },
    }
    if mention.probability is not None:
        result["rank"] = 100 * mention.probability
    return result


def _place(path: str) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": quote(path.replace("\\", "/"))}}}
