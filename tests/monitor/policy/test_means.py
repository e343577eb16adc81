"""What a model offers to policies: here, the layers in which Eq. 4 acts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image
from sightline.detectors.published import PUBLISHED as KNOWN
from sightline.detectors.svar import LayerRange
from sightline.detectors.threshold import SvarThreshold
from sightline.monitor.errors import OptionError
from sightline.monitor.models.subject import Subject
from sightline.monitor.policy.means import Means
from sightline.monitor.policy.policy import AVOID, Intervention, Policy
from sightline.monitor.session import Monitor

PUBLISHED = Policy(tries=(Intervention(alpha=0.5, layers="published"), AVOID), threshold=0.5)


def means(name: str, depth: int) -> Means:
    """Those of a model of which no more is known than its name and depth."""
    anatomy: Any = SimpleNamespace(
        num_layers=depth, layers=tuple(range(depth)), known_layers=lambda some: tuple(some)
    )
    return Means(cast(Subject, SimpleNamespace(name=name, anatomy=anatomy)))


@pytest.mark.parametrize(
    ("name", "depth", "layers"),
    [
        ("llava-hf/llava-1.5-7b-hf", 32, (5, 18)),
        ("models/shikra-7b", 32, (3, 13)),
        ("minigpt-4", 32, (3, 14)),
    ],
)
def test_the_published_layers_are_those_of_the_model(
    name: str, depth: int, layers: tuple[int, int]
) -> None:
    """By its name and depth; tries without Eq. 4 stay as they are."""
    some = means(name, depth)
    placed = some.placed(PUBLISHED)
    assert placed.tries == (Intervention(alpha=0.5, layers=layers), AVOID)
    guide = some.guide(PUBLISHED)
    assert guide is not None
    assert tuple(guide.layers) == tuple(range(layers[0], layers[1] + 1))


@pytest.mark.parametrize(("name", "depth"), [("llava-1.5-7b", 12), ("qwen2-vl", 32)])
def test_nothing_is_published_for_other_models(name: str, depth: int) -> None:
    """One of another depth included; the message says for which there is something."""
    with pytest.raises(OptionError, match=r"LLaVA-1\.5-7B \(32\).*Give the first and the last"):
        means(name, depth).placed(PUBLISHED)


def test_policies_that_do_not_ask_stay_the_same_object() -> None:
    """Nothing is looked up for them."""
    policy = Policy(tries=(Intervention(alpha=1.0, layers=(0, 40)),))
    assert means("unknown", 12).placed(policy) is policy


def test_a_report_says_which_layers_they_are(
    tiny: tuple[Any, Any], pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In numbers; a model without any is refused before anything is decoded."""
    threshold = SvarThreshold(0.5, LayerRange(0, 1, "user"))
    monitor = Monitor(*tiny, name="tiny", calibration=threshold)
    inputs = monitor.prepare(pictures[:1])
    with pytest.raises(OptionError, match="'published' are those of a model"):
        monitor.generate(**inputs, max_new_tokens=4, policy=PUBLISHED)
    depth = monitor.anatomy.num_layers
    settings = replace(KNOWN[0], pattern="tiny", num_layers=depth, first=1, last=2)
    monkeypatch.setattr("sightline.detectors.published.PUBLISHED", (settings,))
    report = monitor.generate(**inputs, max_new_tokens=4, policy=PUBLISHED).reports[0]
    assert report.policy is not None
    assert Policy.from_json(report.policy).tries[0].layers == (1, 2)
