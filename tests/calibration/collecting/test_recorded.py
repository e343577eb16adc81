"""A table that is read from recorded captions is the one that the monitor's events give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sightline.calibration.collecting.collected import CaptionGatherer, CollectedCaption, ImageFacts
from sightline.calibration.collecting.recorded import CaptionReader
from sightline.calibration.scenes.catalogue import TYPES
from sightline.calibration.scenes.render import render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.world import sample_scene
from sightline.detectors.evidence import Evidence
from sightline.monitor.language.words import Detokenizer
from sightline.monitor.models.prompts import DEFAULT_PROMPT
from sightline.monitor.session import Monitor
from sightline.monitor.watching.recording import Recorder

SCENES = 30

ANNOTATED = frozenset(TYPES) - {min(TYPES)}
"""Objects that somebody looked for: all but one kind."""


@pytest.fixture(scope="module", name="monitor")
def _monitor() -> Monitor:
    return Monitor.from_pretrained("small", calibration=None, watch_layers="all", lexicon="small")


@pytest.fixture(scope="module", name="images")
def _images() -> list[tuple[ImageFacts, Any]]:
    scenes = [sample_scene(seed) for seed in seeds("development", SCENES, start=7000)]
    return [
        (
            ImageFacts(str(i), f"{i}.png", frozenset(one.type for one in scene.objects)),
            render(scene).image,
        )
        for i, scene in enumerate(scenes)
    ]


def _listened(
    monitor: Monitor, inputs: Any, images: list[ImageFacts], options: dict[str, Any]
) -> list[CollectedCaption]:
    gatherer = CaptionGatherer(len(images))
    monitor.generate(**inputs, **options, on_event=gatherer.add)
    return [gatherer.caption(row, image, ANNOTATED) for row, image in enumerate(images)]


def _recorded(
    monitor: Monitor, inputs: Any, images: list[ImageFacts], options: dict[str, Any]
) -> list[CollectedCaption]:
    model: Any = monitor.model
    with Recorder(model, monitor.anatomy, inputs, **options) as recorder:
        sequences = model.generate(
            **inputs, **options, logits_processor=[recorder.logits_processor]
        )
    reader = CaptionReader(Detokenizer(monitor.tokenizer), monitor.lexicon)
    return reader.captions(recorder, sequences, images, ANNOTATED)


def _assert_equal(one: Evidence | None, other: Evidence | None) -> None:
    assert (one is None) == (other is None)
    if one is None or other is None:
        return
    assert one.layers == other.layers
    np.testing.assert_allclose(one.masses, other.masses, rtol=1e-6, atol=1e-6)
    for name in ("log_prob", "entropy", "margin"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6, abs=1e-6)


# Whole captions; captions cut in their middle; prompts of two lengths, the shorter ones padded.
@pytest.mark.parametrize(
    ("limit", "prompts"),
    [(160, (DEFAULT_PROMPT,)), (16, (DEFAULT_PROMPT,)), (40, (DEFAULT_PROMPT, "Describe it."))],
)
def test_recorded_captions_are_those_that_were_watched(
    monitor: Monitor, images: list[tuple[ImageFacts, Any]], limit: int, prompts: tuple[str, ...]
) -> None:
    """Thirty scenes: the same texts, mentions, places, labels and measurements."""
    facts = [fact for fact, _ in images]
    asked = [prompts[i % len(prompts)] for i in range(SCENES)]
    inputs = monitor.prepare([picture for _, picture in images], asked)
    assert bool((inputs["attention_mask"] == 0).any()) == (len(prompts) > 1)
    options = {"max_new_tokens": limit, "do_sample": False}
    watched = _listened(monitor, inputs, facts, options)
    found = _recorded(monitor, inputs, facts, options)
    assert sum(len(one.mentions) for one in watched) > SCENES // 2
    for one, other in zip(found, watched, strict=True):
        for name in ("image_id", "file", "truth", "text", "tokens", "finish", "error"):
            assert getattr(one, name) == getattr(other, name)
        for mention, expected in zip(one.mentions, other.mentions, strict=True):
            for name in ("text", "start", "end", "label"):
                assert getattr(mention, name) == getattr(expected, name)
            for name in ("object", "index", "word", "repeats"):
                assert getattr(mention.evidence, name) == getattr(expected.evidence, name)
            _assert_equal(mention.evidence.predicting, expected.evidence.predicting)
            _assert_equal(mention.evidence.naming, expected.evidence.naming)
    labels = {mention.label for one in found for mention in one.mentions}
    assert {0, 1} <= labels
