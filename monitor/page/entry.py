"""What the page knows of one caption: its report without what only programs read."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from ..report import ActionSection, Failure, MentionSection, Report, TokenSection


def entry(record: Report | Failure, about: int | None) -> dict[str, JsonValue]:
    """One record as the page's script reads it.

    Args:
        record: a line of a reports file.
        about: which of the page's accounts of model, prompt and calibration is its own.
    """
    if isinstance(record, Failure):
        return {"path": record.image, "error": record.error, "message": record.message}
    image = record.image
    return {
        "path": None if image is None else image.path,
        "width": None if image is None else image.width,
        "height": None if image is None else image.height,
        "about": about,
        "text": record.text,
        "finish": record.finish,
        "seconds": record.timings.total,
        "mentions": [_mention(one, record.tokens) for one in record.mentions],
        "actions": [_action(one) for one in record.actions],
    }


def about(report: Report) -> dict[str, JsonValue]:
    """What many captions have in common: model, prompt, settings, calibration, policy."""
    kept = {"model", "prompt", "image_tokens", "settings", "layers", "calibration", "policy"}
    account: dict[str, JsonValue] = report.model_dump(mode="json", include=kept)
    return account


def _mention(mention: MentionSection, tokens: tuple[TokenSection, ...]) -> dict[str, JsonValue]:
    known: dict[str, Any] = mention.model_dump(
        mode="json", exclude={"lemma", "first_token", "last_token", "threshold", "inside"}
    )
    if mention.first_token < len(tokens):
        first = tokens[mention.first_token]
        known["log_prob"], known["entropy"] = first.log_prob, first.entropy
    return {name: _short(value) for name, value in known.items() if value is not None}


def _action(action: ActionSection) -> dict[str, JsonValue]:
    known: dict[str, Any] = action.model_dump(mode="json", exclude={"first_token", "end_token"})
    return {name: _short(value) for name, value in known.items() if value is not None}


def _short(value: Any) -> Any:
    """A number with the digits that a reader can use."""
    return float(f"{value:.5g}") if isinstance(value, float) else value
