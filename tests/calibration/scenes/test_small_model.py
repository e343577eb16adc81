"""The checkpoint that ships: an ordinary one, that hallucinates as its card says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from sightline.calibration.scenes import evaluate as evaluation
from sightline.calibration.scenes.captions import BRIEF, DETAILED
from sightline.calibration.scenes.card import write_card
from sightline.calibration.scenes.catalogue import TYPES
from sightline.calibration.scenes.detection import Detection
from sightline.calibration.scenes.lexicon import PATH as LEXICON_PATH
from sightline.calibration.scenes.lexicon import lexicon
from sightline.calibration.scenes.observed import Observed
from sightline.calibration.scenes.render import Picture, render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.telling import Telling, tell
from sightline.calibration.scenes.world import sample_scene
from sightline.calibration.statistics import auroc, auroc_within
from sightline.detectors.threshold import SvarThreshold
from sightline.monitor import small_model
from sightline.monitor.language.lexicon import Lexicon
from sightline.monitor.models.small import small_model_folder

COUNT = 150
LEXICON = Lexicon.load("small")


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """Development scenes."""
    return [render(sample_scene(seed)) for seed in seeds("development", COUNT)]


@pytest.fixture(scope="module")
def tellings(pictures: list[Picture]) -> list[Telling]:
    """Their detailed captions."""
    return tell(*small_model(), pictures, DETAILED[0])


@pytest.fixture(scope="module")
def observed(pictures: list[Picture], tellings: list[Telling]) -> Observed:
    """The captions with their mentions."""
    return Observed.of(pictures, tellings, LEXICON)


def test_checkpoint_is_small_and_complete() -> None:
    """At most 8 MB of weights; the card, the figures and the calibration beside them."""
    folder = small_model_folder()
    assert (folder / "model.safetensors").stat().st_size <= 8_000_000
    names = {path.name for path in folder.iterdir()}
    assert {
        "README.md",
        "evaluation.json",
        "svar_threshold.json",
        "config.json",
        "calibration",
    } <= names


def test_captions_are_in_the_regime(observed: Observed) -> None:
    """It hallucinates about as often as LLaVA-1.5-7B on COCO, and stops by itself."""
    found = observed.chair()
    assert 0.08 < found.chair_i.value < 0.26
    assert 0.30 < found.chair_s.value < 0.70
    assert found.recall.value > 0.70
    assert found.ended.value > 0.98
    assert found.rep_2.value < 0.15
    assert observed.typical_share().value > 0.75


def test_brief_prompt_hallucinates_less(pictures: list[Picture], observed: Observed) -> None:
    """Asked for one sentence, it names what it sees."""
    brief = Observed.of(pictures, tell(*small_model(), pictures, BRIEF[0]), LEXICON)
    assert brief.chair().chair_i.value < 0.6 * observed.chair().chair_i.value


def test_svar_is_more_than_position(observed: Observed) -> None:
    """SVAR separates overall and among mentions at the same place."""
    found = Detection.of(observed)
    threshold = SvarThreshold.load(small_model_folder())
    assert threshold is not None
    score = found.svar(threshold.layers.first, threshold.layers.last)
    assert auroc(found.labels, score) > auroc(found.labels, found.scores["position"])
    assert auroc_within(found.labels, score, found.indices) > 0.7


def test_recorded_steps_are_probabilities(tellings: list[Telling]) -> None:
    """Every token has its masses, its patches add up to them, and its log-probability."""
    for telling in tellings[:20]:
        assert len(telling.spans) == len(telling.var) == len(telling.log_prob)
        assert (telling.var >= 0).all()
        assert (telling.var <= 1 + 1e-5).all()
        patches = telling.patches.astype(np.float32).sum(-1)
        assert np.allclose(patches, telling.var.mean(-1), atol=5e-3)
        assert (telling.log_prob <= 1e-6).all()
        assert (telling.entropy >= -1e-4).all()


def test_packaged_lexicon_is_the_catalogues() -> None:
    """The lexicon that ships was written from the catalogue as it is now."""
    assert json.loads(LEXICON_PATH.read_text()) == lexicon()
    assert set(LEXICON.objects) == set(TYPES)


@pytest.mark.once
def test_evaluation_writes_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole evaluation, on few scenes and one cell of Eq. 4, fills every section."""
    monkeypatch.setattr(evaluation, "ALPHAS", (1.0,))
    monkeypatch.setattr(evaluation, "intervention_ranges", lambda layers: ((0, layers - 1),))
    with Progress(disable=True) as progress:
        found = evaluation.evaluate(
            small_model_folder(),
            split="development",
            count=30,
            development=30,
            workers=1,
            progress=progress,
        )
    write_card(tmp_path, found, None)
    card = (tmp_path / "README.md").read_text()
    for heading in ("What it writes", "What tells", "every layer range", "Eq. 4", "Where it looks"):
        assert re.search(rf"^## .*{heading}", card, re.MULTILINE)
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert figures["pictures"] == 30
    assert len(figures["by_range"]) == 12 * 13 // 2
    assert len(figures["mitigations"]) == 1
    assert SvarThreshold.load(tmp_path) is not None
