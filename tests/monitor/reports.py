"""Reports made by hand, some of them hostile, for what shows or exports them."""

from __future__ import annotations

from typing import Any

from sightline.monitor.report import Report

HOSTILE = "<img src=x onerror=alert(1)>"


def made_report(
    text: str = "A cat and a dog.",
    *,
    path: str | None = "photos/000000000042.png",
    objects: tuple[tuple[str, str, float], ...] = (("cat", "cat", 0.02), ("dog", "dog", 0.9)),
    threshold: float = 0.5,
    actions: tuple[dict[str, Any], ...] = (),
    finish: str = "eos",
) -> Report:
    """A calibrated report; ``objects`` are words, names and probabilities."""
    mentions = []
    for word, name, probability in objects:
        start = text.index(word)
        mentions.append(
            {
                "word": word,
                "lemma": word,
                "object": name,
                "visible": True,
                "start": start,
                "end": start + len(word),
                "first_token": 0,
                "last_token": 0,
                "svar": 0.7,
                "score": probability,
                "threshold": threshold,
                "flagged": probability >= threshold,
                "action": "flag" if probability >= threshold else "keep",
                "probability": probability,
                "prior": -1.25,
                "evidence": 2.5,
            }
        )
    token = {"id": 5, "text": text, "start": 0, "end": len(text), "svar": 0.7}
    return Report.model_validate(
        {
            "model": {
                "name": "small",
                "architecture": "Llava",
                "dtype": "float32",
                "device": "cpu",
            },
            "prompt": "<image> Describe.",
            "image": None
            if path is None
            else {
                "path": path,
                "width": 64,
                "height": 48,
                "format": "PNG",
                "mode": "RGB",
                "frames": 1,
            },
            "image_tokens": 4,
            "settings": {"do_sample": False},
            "layers": {"first": 1, "last": 2, "source": "user"},
            "calibration": {"name": "made", "threshold": threshold, "limits": ["A limit."]},
            "text": text,
            "tokens": [{**token, "log_prob": -0.5, "entropy": 0.25}],
            "mentions": mentions,
            "actions": actions,
            "finish": finish,
            "truncated": False,
            "timings": {"first_token": 0.1, "total": 0.2},
        }
    )


def made_action(old: str, new: str, *, start: int, outcome: str = "replaced") -> dict[str, Any]:
    """An action of a policy on a span."""
    return {
        "outcome": outcome,
        "reason": "try 1 passed",
        "start": start,
        "first_token": 0,
        "end_token": 1,
        "objects": ["dog"],
        "old": old,
        "new": new,
        "old_score": 0.9,
        "new_score": None,
        "intervention": "avoid",
        "tries": [
            {"intervention": "avoid", "text": new, "score": 0.1, "tokens": 4, "result": "passed"}
        ],
        "extra_tokens": 4,
        "milliseconds": 12.5,
    }
