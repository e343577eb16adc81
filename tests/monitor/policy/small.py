"""The small model on development scenes, under policies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import pytest
import torch
from PIL import Image
from sightline.calibration.scenes.observed import truth_of
from sightline.calibration.scenes.render import Picture, render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.world import sample_scene
from sightline.monitor.events import Event
from sightline.monitor.policy import Policy
from sightline.monitor.policy.release import Show
from sightline.monitor.report import Report
from sightline.monitor.session import Captions, Monitor
from torch import Tensor
from transformers import LogitsProcessor

LIMIT: Final = 160
"""Most tokens of a caption."""

FLAGGED, CLEAN = 0, 3
"""A scene whose caption has a flagged object in its third sentence, and one without."""


def small(*, lens: bool = False) -> Monitor:
    """The small model with its calibration."""
    return _loaded(lens)


@cache
def _loaded(lens: bool) -> Monitor:
    monitor = Monitor.from_pretrained("small", lens=lens)
    # transformers leaves hooks of its own at the first pass; ours are counted beside them.
    monitor.generate(**monitor.prepare([Image.new("RGB", (96, 96))]), max_new_tokens=1)
    return monitor


@cache
def _picture(number: int) -> Picture:
    return render(sample_scene(list(seeds("development", number + 1, start=3000))[number]))


def truth(number: int) -> frozenset[str]:
    """What is in a scene, by its number."""
    return frozenset(truth_of(_picture(number)))


@cache
def inputs(*which: int) -> dict[str, Any]:
    """A batch of scenes, by their numbers."""
    return dict(small().prepare([_picture(one).image for one in which]))


def captions(policy: Policy | str | None, *which: int, lens: bool = False, **more: Any) -> Captions:
    """Captions of a batch of scenes."""
    options = {"max_new_tokens": LIMIT, **more}
    return small(lens=lens).generate(**inputs(*which), policy=policy, **options)


def plain(*which: int, **more: Any) -> Tensor:
    """What the model writes by itself."""
    model: Any = small().model
    ids: Tensor = model.generate(**inputs(*which), **{"max_new_tokens": LIMIT, **more})
    return ids


def events_of(policy: Policy | str, show: Show, *which: int) -> tuple[list[Event], Captions]:
    """All events of a batch, and what came of it."""
    events: list[Event] = []
    result = captions(policy, *which, on_event=events.append, show=show)
    return events, result


def assert_same_tokens(one: Report, other: Report) -> None:
    """All of each token to the letter, but for SVARs: read together, steps round differently."""
    for ours, theirs in zip(one.tokens, other.tokens, strict=True):
        assert ours.svar == pytest.approx(theirs.svar, abs=1e-6)
        assert ours == theirs.model_copy(update={"svar": ours.svar})


def same_row(one: Tensor, other: Tensor, row: int) -> bool:
    """Whether two batches have the same row, up to filling."""
    shared = min(one.shape[1], other.shape[1])
    rest = torch.cat([one[row, shared:], other[row, shared:]])
    return torch.equal(one[row, :shared], other[row, :shared]) and not rest.any()


def hooks(model: Any) -> int:
    """How many hooks there are on a model."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
    )


class Says(LogitsProcessor):
    """Makes the model say given tokens."""

    def __init__(self, tokens: Sequence[int], prompt: int) -> None:
        self.tokens, self.prompt = tokens, prompt

    def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
        only = torch.full_like(scores, -torch.inf)
        only[:, self.tokens[input_ids.shape[1] - self.prompt]] = 0.0
        return only
