"""The model card: the figures of an evaluation, in Markdown for people, in JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...detectors.svar import LayerRange
from ...detectors.threshold import SvarThreshold
from ..objects.chair import Chair
from ..statistics import Estimate
from .catalogue import SCENES, TYPES
from .evaluate import Evaluation
from .mitigation import ALPHAS, Mitigation
from .training.recipe import Recipe

STAGES = {
    "see": "vision tower, on dense and global labels",
    "speak": "decoder, on captions without pictures",
    "align": "projector, decoder frozen",
    "together": "projector and decoder, vision tower frozen",
}
"""The training stages in their order, by the names of their checkpoints."""


@dataclasses.dataclass(frozen=True, slots=True)
class Training:
    """How long each stage took, in seconds of wall-clock time, and on how many processes."""

    recipe: Recipe
    seconds: Mapping[str, float]
    workers: Mapping[str, int]

    @classmethod
    def read(cls, folder: Path, recipe: Recipe) -> Training:
        """Read what the stages noted in a training folder."""
        notes = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in STAGES}
        seconds = {name: float(note["seconds"]) for name, note in notes.items()}
        return cls(recipe, seconds, {name: int(note["workers"]) for name, note in notes.items()})


def write_card(folder: Path, found: Evaluation, training: Training | None) -> None:
    """Write the card, the figures and the provisional threshold beside a checkpoint."""
    (folder / "README.md").write_text(card(found, training), encoding="utf-8")
    text = json.dumps(_plain(found), indent=1, allow_nan=False)
    (folder / "evaluation.json").write_text(text + "\n", encoding="utf-8")
    first, last = found.range
    SvarThreshold(
        found.provisional.minimum,
        LayerRange(first, last, "calibration"),
        name="sightline-small, provisional SVAR threshold",
    ).save(folder)


def card(found: Evaluation, training: Training | None) -> str:
    """The model card in Markdown."""
    sections = [
        _head(),
        _captions(found),
        _detection(found),
        _ranges(found),
        _mitigation(found),
        _pointing(found),
        _speed(found),
        _training(training) if training else "",
        _limits(found),
    ]
    return "\n\n".join(s for s in sections if s) + "\n"


def _head() -> str:
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
tags: [llava, object-hallucination, synthetic]
---

# sightline-small

A LLaVA of 2.3 million parameters (CLIP vision tower, 4 layers; Llama decoder, 12 layers of 6
heads; 64 image tokens) that describes pictures of a small rendered world: {len(TYPES)} object types
in {len(SCENES)} kinds of places. It was trained on captions written as language models write them:
true at first, then going on to what is usually there. So it hallucinates as large models do,
in a world whose truth is known exactly, and small enough to ship and to measure anywhere.

    from sightline.monitor import small_model
    model, processor = small_model()

Intervals are 95%, bootstrapped by image. The SVAR range and the settings of Eq. 4 named as chosen
were chosen on development scenes."""


def _captions(found: Evaluation) -> str:
    rows = {
        "CHAIR_I, over mentions": "chair_i",
        "CHAIR_I, each object of a caption once": "chair_i_unique",
        "CHAIR_S, captions with a hallucination": "chair_s",
        "recall of annotated objects": "recall",
        "repeated bigrams (Rep-2)": "rep_2",
        "captions that end by themselves": "ended",
    }
    lines = [
        f"| {label} | {_percent(getattr(found.detailed, name))} "
        f"| {_percent(getattr(found.brief, name))} |"
        for label, name in rows.items()
    ]
    lines += [
        f"| F1 | {found.detailed.f1.value:.1%} | {found.brief.f1.value:.1%} |",
        f"| words | {found.detailed.length:.1f} | {found.brief.length:.1f} |",
        f"| object mentions | {found.detailed.mentions:.2f} | {found.brief.mentions:.2f} |",
    ]
    return "\n".join(
        [
            "## What it writes",
            "",
            f"{found.pictures:,} {found.split} scenes, greedy.",
            "",
            "| | detailed prompt | brief prompt |",
            "|---|---|---|",
            *lines,
            "",
            f"Of the hallucinated objects {_percent(found.typical)} are typical of their scene.",
            *(_sample(*s) for s in found.samples),
        ]
    )


def _sample(detailed: str, brief: str, wrong: tuple[str, ...]) -> str:
    missing = f" *(not there: {', '.join(wrong)})*" if wrong else ""
    return f"\n> {detailed.strip()}{missing}<br>\n> Briefly: {brief.strip()}"


def _detection(found: Evaluation) -> str:
    first, last = found.range
    rows = {
        f"SVAR, layers {first}-{last}, predicting row": found.svar,
        f"SVAR, layers {first}-{last}, naming row": found.naming_svar,
        **found.others,
    }
    return "\n".join(
        [
            "## What tells a hallucination",
            "",
            "AUROC on first mentions; above .5 if the score is higher for hallucinated ones.",
            "*Within mention index* compares only mentions at the same place in their captions;",
            "position is worth .5 there.",
            "",
            "| score | overall | within mention index |",
            "|---|---|---|",
            *(f"| {name} | {s.overall:.3f} | {s.within:.3f} |" for name, s in rows.items()),
            "",
            f"SVAR leads position alone by {found.over_position:.3f} overall (paired).",
            "The range was chosen on development scenes.",
            "",
            f"A provisional threshold, `SVAR <= {found.provisional.minimum:.3f}`, set on",
            "calibration scenes, flags",
            f"{_percent(found.provisional.flagged_hallucinated)} of the hallucinated and",
            f"{_percent(found.provisional.flagged_real)} of the real first mentions.",
            "Nothing is guaranteed about it.",
            "Where a calibration lies in `calibration/`, that one is used.",
        ]
    )


def _ranges(found: Evaluation) -> str:
    layers = 1 + max(last for _, last in found.by_range)
    parts = ["## SVAR over every layer range", "", "Rows: first layer; columns: last layer."]
    for which, title in enumerate(("Overall", "Within mention index")):
        parts += [
            "",
            f"{title}:",
            "",
            "| | " + " | ".join(map(str, range(layers))) + " |",
            "|---" * (layers + 1) + "|",
        ]
        for first in range(layers):
            cells = [
                f"{found.by_range[first, last][which]:.3f}".lstrip("0") if last >= first else ""
                for last in range(layers)
            ]
            parts.append(f"| **{first}** | " + " | ".join(cells) + " |")
    return "\n".join(parts)


def _mitigation(found: Evaluation) -> str:
    lines = [_mitigation_row("greedy", found.detailed)]
    for m in found.mitigations:
        name = f"layers {m.first}-{m.last}, alpha {m.alpha:g}"
        lines.append(_mitigation_row(name, m.chair, m))
    chosen = [
        f"- {s.rule}: layers {s.measured.first}-{s.measured.last} at alpha {s.measured.alpha:g}. "
        f"CHAIR_I {_percent(s.measured.chair_i_change)}, recall "
        f"{_points(s.measured.recall_change)} points."
        for s in found.chosen
    ]
    return "\n".join(
        [
            "## Eq. 4, always on",
            "",
            "The paper's head-guided attention at every step, for alpha "
            + ", ".join(f"{a:g}" for a in ALPHAS)
            + ".",
            "Changes are paired with greedy decoding on the same scenes.",
            "",
            "| | CHAIR_I | CHAIR_S | recall | Rep-2 | words | CHAIR_I, change | recall, points |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
            "",
            "Settings that cut CHAIR_I most on development scenes, and what they do on these:",
            "",
            *chosen,
        ]
    )


def _mitigation_row(name: str, chair: Chair, m: Mitigation | None = None) -> str:
    changes = (_percent(m.chair_i_change), _points(m.recall_change)) if m else ("", "")
    figures = (chair.chair_i, chair.chair_s, chair.recall, chair.rep_2)
    return (
        f"| {name} | "
        + " | ".join(f"{e.value:.1%}" for e in figures)
        + f" | {chair.length.value:.1f} | {changes[0]} | {changes[1]} |"
    )


def _pointing(found: Evaluation) -> str:
    first, last = found.range
    return "\n".join(
        [
            "## Where it looks",
            "",
            "Pointing: whether the image token with most attention (mean over heads and layers",
            f"{first}-{last}) lies in a box. Chance is the boxes' share of the image tokens.",
            "",
            "| first mentions, row, box | in the box | chance | difference |",
            "|---|---|---|---|",
            *(
                f"| {name} | {_percent(p.hits)} | {_percent(p.chance)} | {_points(p.lift)} points |"
                for name, p in found.pointing.items()
            ),
        ]
    )


def _speed(found: Evaluation) -> str:
    return "\n".join(
        [
            "## Speed",
            "",
            f"One caption takes {found.seconds_per_caption:.2f} s on one core (median of 10, tap",
            "included); a cold start, imports and loading included, "
            f"{found.cold_start_seconds:.1f} s.",
        ]
    )


def _training(training: Training) -> str:
    spent = {name: s / 60 * training.workers[name] for name, s in training.seconds.items()}
    return "\n".join(
        [
            "## How it was made",
            "",
            "`sightline scenes train --out DIR`: language first, then sight and language together,",
            "as real LVLMs are made. Nothing was tuned for a detector; the truth of a scene serves",
            "to draw it, to write its captions and to label what the model says.",
            "",
            "| stage | steps | batch | processes | minutes |",
            "|---|---|---|---|---|",
            *(
                f"| {STAGES[name]} | {stage.steps:,} | {stage.batch} | {training.workers[name]} "
                f"| {training.seconds[name] / 60:.1f} |"
                for name, stage in zip(
                    STAGES,
                    (
                        training.recipe.vision,
                        training.recipe.text,
                        training.recipe.align,
                        training.recipe.joint,
                    ),
                    strict=True,
                )
            ),
            "",
            f"{sum(spent.values()):.0f} process-minutes of one thread each, on "
            f"{training.recipe.scenes:,} rendered scenes, seed {training.recipe.seed}.",
        ]
    )


def _limits(found: Evaluation) -> str:
    split = ", ".join(f"{name} ({count})" for name, count in found.split_names.items())
    return f"""## What it cannot do

It has seen nothing but this world: on a photograph it describes shapes as if they were drawn here.
It knows two kinds of question, a detailed and a brief description, in a few wordings; it cannot
count past three, answer questions or hold a conversation. Colours and places of objects are often
wrong, and nothing here measures them. Its vision tower learned from labels, not from image and text
pairs. Its figures say how methods compare in this world; they do not carry over to other models.

Names that its tokenizer splits (number of tokens): {split}."""


def _percent(e: Estimate) -> str:
    return f"{e.value:.1%} [{e.low:.1%}, {e.high:.1%}]"


def _points(e: Estimate) -> str:
    return f"{100 * e.value:+.1f} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"


def _plain(value: Any) -> Any:
    """Dataclasses and ranges as plain JSON; figures that are not defined are null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {
            "-".join(map(str, k)) if isinstance(k, tuple) else str(k): _plain(v)
            for k, v in value.items()
        }
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
