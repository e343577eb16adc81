"""Finished captions looked at again: it comes out as it was measured while they were written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from sightline.calibration.scenes.render import render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.world import sample_scene
from sightline.monitor.attention.lens import Lens
from sightline.monitor.errors import InputError
from sightline.monitor.inspection import inspect
from sightline.monitor.models.images import ImageInfo
from sightline.monitor.policy import Policy
from sightline.monitor.report import Inside, MentionInside, Report, parse_record, schema
from sightline.monitor.session import Monitor


@cache
def small() -> Monitor:
    """The small model with its calibration."""
    return Monitor.from_pretrained("small")


@cache
def scene(number: int) -> Image.Image:
    """A development scene."""
    seed = tuple(seeds("development", number + 1, start=3000))[number]
    return render(sample_scene(seed)).image


@cache
def captioned(number: int, policy: Policy | None = None, question: str | None = None) -> Report:
    """Its report, from a plain or an acting call."""
    asked = () if question is None else (question,)
    info = ImageInfo("scene.png", *scene(number).size, "PNG", "RGB", 1)
    result = small().generate(
        **small().prepare([scene(number)], *asked),
        images=[info],
        max_new_tokens=48,
        policy=policy,
    )
    return result.reports[0]


def insides(report: Report) -> tuple[Inside, list[MentionInside]]:
    """What was found out, all of it."""
    assert report.inside is not None
    mentions = [mention.inside for mention in report.mentions]
    assert mentions
    return report.inside, [one for one in mentions if one is not None]


def check(report: Report, found: Report) -> None:
    """Hold an inspected report against the report."""
    inside, mentions = insides(found)
    over = slice(report.layers.first, report.layers.last + 1)
    for mention, one in zip(report.mentions, mentions, strict=True):
        profile = np.array(one.profile, dtype=np.float64)
        assert profile[over].sum() == pytest.approx(mention.svar, abs=2e-6)
        attention = one.attention.values()
        assert attention.shape == (len(inside.layers), report.image_tokens)
        # Each byte is off by half a step of its layer's highest at most.
        room = np.array(one.attention.peaks) / 510 * report.image_tokens
        assert (np.abs(attention.sum(axis=1) - profile) <= room + 1e-6).all()
    bare = {"inside": None}
    untouched = tuple(mention.model_copy(update=bare) for mention in found.mentions)
    assert found.model_copy(update={**bare, "mentions": untouched}) == report


def test_the_profile_is_the_var_of_decoding() -> None:
    """Summed over the layers of SVAR it is the SVAR of the report, and nothing else has changed."""
    for number in (0, 1):
        report = captioned(number)
        check(report, inspect(small(), report, scene(number)))


def test_profiles_come_with_what_is_usual() -> None:
    """The bands are those of the calibration, and most real mentions lie within theirs."""
    within = count = 0
    for number in range(3):
        inside, mentions = insides(inspect(small(), captioned(number), scene(number), lens=False))
        bands = inside.bands
        assert bands is not None
        assert bands.layers == inside.layers
        for mention, one in zip(captioned(number).mentions, mentions, strict=True):
            if mention.object is None or mention.flagged:
                continue
            profile = np.array(one.profile, dtype=np.float64)
            within += int(((profile >= bands.real.low) & (profile <= bands.real.high)).sum())
            count += len(profile)
    assert 0.6 < within / count < 0.95
    bare = Monitor(small().model, small().processor, name="small", layers="9")
    found = inspect(bare, captioned(0), scene(0), lens=False)
    assert found.inside is not None
    assert found.inside.bands is None


@pytest.mark.parametrize("act", ["redecode", "drop"])
def test_captions_that_a_policy_rewrote(act: Any) -> None:
    """Their tokens as they stand now are what is looked at."""
    policy = Policy(act=act, threshold=0.3)
    number = next(
        number
        for number in range(20)
        if any(one.outcome in ("replaced", "dropped") for one in captioned(number, policy).actions)
        and captioned(number, policy).mentions
    )
    report = captioned(number, policy)
    check(report, inspect(small(), report, scene(number)))


def test_confidence_is_that_of_the_lens() -> None:
    """Its highest over layers and image tokens is the internal confidence of a watched run."""
    report, monitor = captioned(0), small()
    inputs = monitor.prepare([scene(0)])
    image = monitor.anatomy.image_positions(inputs["input_ids"])
    with Lens(monitor.anatomy, image) as lens, torch.no_grad():
        monitor.model(**inputs)
        step = lens.take()
    inside, mentions = insides(inspect(monitor, report, scene(0)))
    assert step.seen is not None
    assert inside.reads is not None
    for mention, one in zip(report.mentions, mentions, strict=True):
        first = report.tokens[mention.first_token].id
        assert one.confidence is not None
        expected = float(step.seen[0, first].exp())
        assert max(one.confidence.peaks) == pytest.approx(expected, rel=1e-4)
    indices = inside.reads.indices()
    assert indices.shape == (len(inside.layers), report.image_tokens)
    assert set(indices.ravel().tolist()) == set(range(len(inside.reads.words)))


def test_the_lens_can_be_left_out() -> None:
    """Attention comes alone then."""
    inside, mentions = insides(inspect(small(), captioned(0), scene(0), lens=False))
    assert inside.reads is None
    assert all(one.confidence is None for one in mentions)


def test_it_is_a_report_by_the_schema() -> None:
    """It survives JSON, and the schema describes it."""
    found = inspect(small(), captioned(0), scene(0))
    line = found.to_json()
    assert parse_record(line) == found
    jsonschema.Draft202012Validator(schema()).validate(found.model_dump(mode="json"))


def test_another_question_is_found_out() -> None:
    """What was asked is read off the prompt of the report."""
    report = captioned(0, question="What is in the picture?")
    check(report, inspect(small(), report, scene(0)))
    check(report, inspect(small(), report, scene(0), question="What is in the picture?"))
    with pytest.raises(InputError, match="the processor makes"):
        inspect(small(), report, scene(0), question="How many?")


def changed(**changes: Any) -> Report:
    """A report of the first scene that says something else."""
    return captioned(0).model_copy(update=changes)


def test_what_is_not_the_reports_is_refused() -> None:
    """Another model, size, prompt, tokenizer or picture: each is named, and nothing comes out."""
    report, picture = captioned(0), scene(0)
    other = report.model.model_copy(update={"architecture": "Other", "name": "mine"})
    spelled = report.text.replace("image", "photo")
    beyond = report.tokens[0].model_copy(update={"id": 10**6})
    marked = beyond.model_copy(update={"id": small().anatomy.image_token_ids[0]})
    refused: list[tuple[str, Report, Image.Image]] = [
        (r"mine \(Other\)", changed(model=other), picture),
        ("of 192 x 192 pixels, this one has 48 x 48", report, picture.resize((48, 48))),
        ("the processor makes", changed(prompt="USER: Hello."), picture),
        ("takes 7 image tokens", changed(image_tokens=7), picture),
        ("the report says", changed(text=spelled), picture),
        ("image tokens of its own", changed(tokens=(marked, *report.tokens[1:])), picture),
        ("numbered below", changed(tokens=(beyond, *report.tokens[1:])), picture),
        ("within 2% of SVAR", report, scene(1)),
    ]
    for message, one, shown in refused:
        with pytest.raises(InputError, match=message):
            inspect(small(), one, shown)


def test_a_caption_without_nouns(monitor: Monitor, pictures: Sequence[Any], script: Any) -> None:
    """The picture is read all the same."""
    inputs = monitor.prepare(pictures[:1])
    report = monitor.generate(**inputs, max_new_tokens=9, logits_processor=[script("It is.")])
    assert not report.reports[0].mentions
    found = inspect(monitor, report.reports[0], pictures[0])
    assert found.inside is not None
    assert found.inside.reads is not None
    assert found.inside.layers == (0, 1, 2, 3, 4, 5)


def test_where_the_small_model_sees() -> None:
    """Eight by eight tokens over the square that its processor cuts of the picture."""
    wide = scene(0).resize((240, 160))
    report = small().generate(**small().prepare([wide]), max_new_tokens=12).reports[0]
    found = inspect(small(), report, wide)
    assert found.inside is not None
    (grid,) = found.inside.grids
    assert (grid.start, grid.rows, grid.columns) == (0, 8, 8)
    assert (grid.left, grid.top, grid.right, grid.bottom) == (0.167, 0.0, 0.833, 1.0)
    again = inspect(small(), report, [wide], lens=False)
    assert again.inside is not None
    assert again.inside.grids == found.inside.grids
