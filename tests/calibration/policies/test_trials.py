"""Every way on every image: resumed, shared among processes, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sightline.calibration.policies.loading import Loading
from sightline.calibration.policies.outcomefile import Trial, TrialError
from sightline.calibration.policies.trials import run_ways
from sightline.calibration.policies.ways import FirstSentences, Plain, RandomGate, Way, acting
from sightline.calibration.policies.writing import Subject
from sightline.monitor.policy.policy import Policy
from sightline.monitor.session import Monitor

STOP = acting(Policy(act="stop", threshold=0.4))
FIRST = FirstSentences(name="first", family="first", count=1)
GATE = RandomGate(name="gate", family="gate", policy=Policy(act="stop"), like=STOP.name)
WAYS: tuple[Way, ...] = (Plain(), STOP, FIRST, GATE)


def captions(trial: Trial) -> list[tuple[str, str, str]]:
    """What was written, without what it took."""
    return [(one.image, one.way, one.text) for one in trial.outcomes]


@pytest.fixture(scope="module")
def whole(
    monitor: Monitor, scenes: tuple[Subject, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Trial]:
    """A complete trial, and its file."""
    path = tmp_path_factory.mktemp("trial") / "outcomes.jsonl"
    seen: list[tuple[int, int]] = []
    trial = run_ways(monitor, WAYS, scenes, path, on_image=lambda *now: seen.append(now))
    assert seen == [(done, 6) for done in range(7)]
    return path, trial


def test_a_trial_has_every_way_of_every_image(
    whole: tuple[Path, Trial], scenes: tuple[Subject, ...]
) -> None:
    """In order of images and ways, in the result; all of it in the file."""
    path, trial = whole
    assert trial.complete
    expected = [(one.image, way.name) for one in scenes for way in WAYS]
    assert [(image, way) for image, way, _ in captions(trial)] == expected
    assert sorted(captions(Trial.load(path))) == sorted(captions(trial))


def test_a_complete_trial_is_not_run_again(
    whole: tuple[Path, Trial],
    monitor: Monitor,
    scenes: tuple[Subject, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model is not called, the file stays as it is, the result is the same."""
    path, trial = whole
    before = path.read_bytes()

    def forbidden(*_: Any, **__: Any) -> None:
        pytest.fail("the model was run")

    monkeypatch.setattr(monitor.model, "generate", forbidden)
    again = run_ways(monitor, WAYS, scenes, path)
    assert captions(again) == captions(trial)
    assert path.read_bytes() == before


@pytest.mark.parametrize("keep", [1, 3, 4, 9])
def test_a_broken_off_trial_goes_on(
    whole: tuple[Path, Trial],
    monitor: Monitor,
    scenes: tuple[Subject, ...],
    tmp_path: Path,
    keep: int,
) -> None:
    """Wherever it was cut: what is there stays, what is missing comes, nothing comes twice."""
    path, trial = whole
    lines = path.read_bytes().splitlines(keepends=True)
    part = tmp_path / "part.jsonl"
    part.write_bytes(b"".join(lines[:keep]) + lines[keep][:40])
    again = run_ways(monitor, WAYS, scenes, part)
    assert captions(again) == captions(trial)
    assert part.read_bytes().startswith(b"".join(lines[:keep]))
    assert sorted(captions(Trial.load(part))) == sorted(captions(trial))


@pytest.mark.once
def test_several_processes_write_the_same(
    whole: tuple[Path, Trial], monitor: Monitor, scenes: tuple[Subject, ...], tmp_path: Path
) -> None:
    """Two workers that load the model themselves come to the same captions, random gates too."""
    found = run_ways(
        monitor, WAYS, scenes, tmp_path / "two.jsonl", workers=2, load=Loading("small")
    )
    assert captions(found) == captions(whole[1])


@pytest.mark.once
def test_a_killed_trial_goes_on(
    whole: tuple[Path, Trial],
    monitor: Monitor,
    scenes: tuple[Subject, ...],
    folder: Path,
    tmp_path: Path,
) -> None:
    """kill -9 in the midst of it loses the image at hand and no other."""
    out = tmp_path / "killed.jsonl"
    code = (
        "import sys; from pathlib import Path;"
        "from sightline.calibration.policies.loading import Loading;"
        "from sightline.calibration.policies.trials import run_ways, subjects;"
        "from sightline.calibration.policies.ways import *;"
        "from sightline.monitor.policy.policy import Policy;"
        "from sightline.calibration.objects.annotations import Annotations;"
        "from sightline.calibration.collecting.sources import find_sources;"
        "stop = acting(Policy(act='stop', threshold=0.4));"
        "ways = (Plain(), stop, FirstSentences(name='first', family='first', count=1),"
        " RandomGate(name='gate', family='gate', policy=Policy(act='stop'), like=stop.name));"
        "monitor = Loading()(); folder = Path(sys.argv[1]);"
        "known = Annotations.load(folder / 'instances.json', monitor.lexicon);"
        "run_ways(monitor, ways, subjects(find_sources(folder, known), known), sys.argv[2],"
        " annotations='')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(out)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for _ in range(1200):
        if out.exists() and out.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = out.read_bytes()
    assert before.count(b"\n") >= 2
    again = run_ways(monitor, WAYS, scenes, out)
    assert captions(again) == captions(whole[1])
    assert out.read_bytes().startswith(before[: before.rfind(b"\n") + 1])


def test_an_unreadable_image_is_left_out(
    monitor: Monitor, scenes: tuple[Subject, ...], tmp_path: Path
) -> None:
    """It is noted once, stops no other, and is not tried again."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    images = (replace(scenes[0], path=broken), *scenes[1:])
    out = tmp_path / "some.jsonl"
    for _ in range(2):
        trial = run_ways(monitor, (Plain(), STOP), images, out)
        assert [one.image for one in trial.unreadable] == [scenes[0].image]
        assert len(trial.outcomes) == 4
        assert trial.complete


def test_images_of_which_none_can_be_read_end_the_trial(
    monitor: Monitor, scenes: tuple[Subject, ...], tmp_path: Path
) -> None:
    """Three in a row are not the images' fault."""
    images = [replace(one, path=tmp_path / "none.png") for one in scenes]
    with pytest.raises(TrialError, match="3 images in a row could not be read"):
        run_ways(monitor, (Plain(),), images, tmp_path / "none.jsonl")


def test_what_cannot_be_tried_is_refused_first(
    whole: tuple[Path, Trial], monitor: Monitor, scenes: tuple[Subject, ...], tmp_path: Path
) -> None:
    """Another trial's file, no calibration to act on, several workers without a model."""
    with pytest.raises(TrialError, match="holds another trial"):
        run_ways(monitor, WAYS, scenes[:2], whole[0])
    blind = Monitor(monitor.model, monitor.processor, lexicon=monitor.lexicon)
    with pytest.raises(TrialError, match="has no calibration"):
        run_ways(blind, (Plain(), STOP), scenes, tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="load was None"):
        run_ways(monitor, (Plain(),), scenes, tmp_path / "b.jsonl", workers=2)
    assert not list(tmp_path.iterdir())
