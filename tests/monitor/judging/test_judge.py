"""A calibration in the monitor: from a folder, from the checkpoint, refused, and marked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sightline.detectors.artifact.folder import ARRAYS
from sightline.detectors.artifact.sealed import ArtifactError
from sightline.detectors.calibrated import CalibratedDetector
from sightline.detectors.conditions import ModelIdentity
from sightline.detectors.svar import LayerRange
from sightline.detectors.threshold import SvarThreshold
from sightline.monitor.errors import ModelError
from sightline.monitor.models.identity import identity
from sightline.monitor.report import Report
from sightline.monitor.session import Monitor
from transformers import AutoModelForImageTextToText, LogitsProcessor

from ..judges import TINY, judging

Tiny = tuple[Any, Any]
Scripted = Callable[..., LogitsProcessor]

DOG = " The image shows a dog on a bench near two traffic lights."


@pytest.fixture
def who(tiny: Tiny) -> ModelIdentity:
    """The tiny model, as a calibration on it would say."""
    return identity(tiny[0], "tiny")


def report(monitor: Monitor, pictures: list[Image.Image], script: Any, **more: Any) -> Report:
    """The report of a caption about a dog."""
    prompt = more.pop("prompt", None)
    inputs = monitor.prepare(pictures[:1], *([] if prompt is None else [prompt]))
    options = {"max_new_tokens": 40, **more}
    result = monitor.generate(**inputs, logits_processor=[script(DOG)], **options)
    return result.reports[0]


@pytest.mark.parametrize("name", ["fused", "fused-naming", "svar", "lens"])
def test_a_calibration_judges_and_is_reported(
    tiny: Tiny, who: ModelIdentity, pictures: list[Image.Image], script: Scripted, name: str
) -> None:
    """Probabilities on every noun, flags on objects, and who promised what, in the report."""
    monitor = Monitor(*tiny, calibration=judging(name, who), name="tiny")
    found = report(monitor, pictures, script)
    section = found.calibration
    assert section != "uncalibrated"
    assert (section.name, section.detector, section.kind) == ("judge", name, "calibrated")
    assert (section.target, section.level, section.confidence) == ("false-alarm", 0.1, 0.9)
    assert section.guarantee is not None
    assert section.guarantee.startswith("With 90% confidence")
    assert section.timing == ("naming" if name == "fused-naming" else "predicting")
    assert section.limits == ()
    assert {m.word: m.flagged for m in found.mentions} == {
        "image": False,
        "dog": True,
        "bench": True,
        "traffic lights": True,
    }
    for mention in found.mentions:
        assert mention.probability == mention.score is not None
        assert (mention.prior is None) is (not name.startswith("fused"))


def test_online_and_offline_agree(
    tiny: Tiny, who: ModelIdentity, pictures: list[Image.Image], script: Scripted
) -> None:
    """A monitor that watches more layers than the detector reads says the same."""
    calibration = judging("svar", who)
    few, many = (
        report(
            Monitor(*tiny, calibration=calibration, name="tiny", watch_layers=watched),
            pictures,
            script,
        )
        for watched in ("range", "all")
    )
    for one, other in zip(few.mentions, many.mentions, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-6)


def test_other_layers_are_shown_and_the_needed_ones_watched(
    tiny: Tiny, who: ModelIdentity, pictures: list[Image.Image], script: Scripted
) -> None:
    """The user's range is for SVAR in the report; a detector on all layers sees all of them."""
    usual = Monitor(*tiny, calibration=judging("fused", who), name="tiny")
    other = Monitor(*tiny, calibration=judging("fused", who), name="tiny", layers="4-4")
    one, two = (report(monitor, pictures, script) for monitor in (usual, other))
    assert (two.layers.first, two.layers.last, two.layers.source) == (4, 4, "user")
    for mine, theirs in zip(one.mentions, two.mentions, strict=True):
        assert mine.probability == theirs.probability
        assert mine.svar != theirs.svar
    with pytest.raises(ModelError, match=r"holds for layers .* alone"):
        Monitor(*tiny, calibration=judging("svar", who), name="tiny", layers="0-5")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_loaded(
    tiny: Tiny, who: ModelIdentity, tmp_path: Path, kind: Callable[[Path], str | Path]
) -> None:
    """The monitor takes what `sightline calibrate fit` wrote, by path."""
    judging("heads-linear", who).save(tmp_path / "artifact")
    monitor = Monitor(*tiny, calibration=kind(tmp_path / "artifact"), name="tiny")
    assert monitor.calibration is not None
    assert monitor.calibration.detector == "heads-linear"
    with pytest.raises(ArtifactError, match="is not there"):
        Monitor(*tiny, calibration=kind(tmp_path / "nowhere"))


def test_another_models_calibration_is_refused(tiny: Tiny, who: ModelIdentity) -> None:
    """Built otherwise: always. Other weights: unless allowed, and then it is marked."""
    with pytest.raises(ModelError, match="6 layers of 4 heads"):
        Monitor(*tiny, calibration=judging("lens", replace(who, num_layers=9)), name="tiny")
    other = judging("fused", replace(who, revision="sha256:other"))
    with pytest.raises(ModelError, match="allow_other_model=True"):
        Monitor(*tiny, calibration=other, name="tiny")
    monitor = Monitor(*tiny, calibration=other, name="tiny", allow_other_model=True)
    (limit,) = monitor.limits
    assert "calibrated on other weights" in limit


def test_what_a_calibration_does_not_cover_is_in_the_report(
    tiny: Tiny, who: ModelIdentity, pictures: list[Image.Image], script: Scripted
) -> None:
    """Another prompt, other options, another lexicon, a note, no threshold: never silent."""
    calibration = judging("fused", who, threshold=None, guarantee=None, notes=("Note this.",))
    monitor = Monitor(*tiny, calibration=calibration, lexicon="small", name="tiny")
    found = report(monitor, pictures, script, prompt="What?", repetition_penalty=1.2)
    assert found.calibration != "uncalibrated"
    limits = found.calibration.limits
    for words in ("No threshold", "Note this.", "another prompt", "lexicon", "repetition_penalty"):
        assert any(words in limit for limit in limits), words
    assert len(limits) == 5
    assert not any(m.flagged for m in found.mentions)
    assert found.calibration.threshold is None


@pytest.fixture
def checkpoint(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint's folder to add to."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_checkpoint_may_bring_its_calibration(checkpoint: Path) -> None:
    """`calibration/` beside the weights is used, before a chosen threshold; damaged, it is an
    error; for other weights it is refused."""
    bare = Monitor.from_pretrained(checkpoint)
    assert bare.calibration is None
    SvarThreshold(1.0, LayerRange(1, 3, "user"), name="chosen").save(checkpoint)
    own = judging("fused", identity(bare.model, str(checkpoint)))
    own.save(checkpoint / "calibration")
    monitor = Monitor.from_pretrained(checkpoint)
    assert isinstance(monitor.calibration, CalibratedDetector)
    assert monitor.limits == ()
    assert Monitor.from_pretrained(checkpoint, calibration=None).calibration is None
    assert Monitor.from_pretrained(checkpoint, layers="0-2").calibration is not None
    judging("fused", TINY).save(checkpoint / "calibration")
    with pytest.raises(ModelError, match="calibration=None"):
        Monitor.from_pretrained(checkpoint)
    (checkpoint / "calibration" / ARRAYS).write_bytes(b"")
    with pytest.raises(ArtifactError, match="SHA-256"):
        Monitor.from_pretrained(checkpoint)


def test_a_published_model_gets_its_provisional_threshold(
    checkpoint: Path, pictures: list[Image.Image], script: Scripted
) -> None:
    """A model of the paper, by name and depth: labelled as provisional in the report."""
    deep = AutoModelForImageTextToText.from_pretrained(checkpoint).config
    deep.text_config.num_hidden_layers = 32
    model = AutoModelForImageTextToText.from_config(deep).eval()
    folder = checkpoint.rename(checkpoint.parent / "llava-1.5-7b-hf")
    model.save_pretrained(folder)
    monitor = Monitor.from_pretrained(folder)
    found = report(monitor, pictures, script)
    assert found.calibration != "uncalibrated"
    assert found.calibration.kind == "provisional"
    assert "provisional" in found.calibration.name
    assert any(limit.startswith("Provisional") for limit in found.calibration.limits)
    assert (found.layers.first, found.layers.last) == (5, 18)
    assert found.mentions[1].score is not None
    assert found.mentions[1].probability is None
    assert Monitor.from_pretrained(folder, layers="5-18").calibration is not None
    assert Monitor.from_pretrained(folder, layers="3-9").calibration is None
