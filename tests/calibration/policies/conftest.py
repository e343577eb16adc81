"""The small model and a few scenes, for tests that caption."""

from __future__ import annotations

from pathlib import Path

import pytest
from sightline.calibration.collecting.sources import find_sources
from sightline.calibration.objects.annotations import Annotations
from sightline.calibration.policies.loading import Loading
from sightline.calibration.policies.trials import subjects
from sightline.calibration.policies.writing import Subject
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds
from sightline.monitor.session import Monitor


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three development scenes with their annotations; something is flagged in the last two."""
    path = tmp_path_factory.mktemp("policies") / "scenes"
    export(seeds("development", 3, start=3), path)
    return path


@pytest.fixture(scope="session")
def monitor() -> Monitor:
    """The small model with its calibration."""
    return Loading()()


@pytest.fixture(scope="session")
def scenes(folder: Path, monitor: Monitor) -> tuple[Subject, ...]:
    """The scenes, with what is in them."""
    known = Annotations.load(folder / "instances.json", monitor.lexicon)
    return subjects(find_sources(folder, known), known)
