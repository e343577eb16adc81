"""`sightline calibrate policy`: from images to a policy in the artifact, or a reason why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sightline.calibration.policies import trials
from sightline.calibration.policies.candidates import NOTHING
from sightline.calibration.policies.outcomefile import OutcomeFile, Trial
from sightline.calibration.policies.ways import Way
from sightline.calibration.policies.writing import Asked, Subject
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds
from sightline.detectors.artifact.sealed import DOCUMENT
from sightline.detectors.calibrated import CalibratedDetector
from sightline.monitor.cli.main import main
from sightline.monitor.session import Monitor

from ..policies.worlds import outcome

SMALL = Path(str(files("sightline.monitor").joinpath("data", "small", "calibration")))
POLICIES = [{"act": "stop", "threshold": 0.3, "name": "mine"}, {"act": "stop", "threshold": 0.1}]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 scenes with what is in them."""
    folder = tmp_path_factory.mktemp("certify") / "scenes"
    export(seeds("calibration", 40, start=9_000), folder, on_scene=lambda: None)
    return folder


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """The small model's calibration, without a policy."""
    folder = tmp_path / "artifact"
    CalibratedDetector.load(SMALL).with_certificate(None).save(folder)
    return folder


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Outcomes without a model's work: doing nothing leaves half of the captions wrong, "mine" one
    in 20. What was asked is kept."""
    seen: list[Asked] = []

    def run_ways(
        monitor: Monitor,
        ways: Sequence[Way],
        images: Sequence[Subject],
        out: Path,
        *,
        asked: Asked,
        annotations: str,
        workers: int,
        load: Callable[[], Monitor],
        on_image: Callable[[int, int], object],
    ) -> Trial:
        seen.append(asked)
        found = [
            outcome(
                way.name,
                one.image,
                real=3 if way.name in (NOTHING.name, "mine") else 1,
                wrong=int(number % (2 if way.name == NOTHING.name else 20) == 0),
            )
            for number, one in enumerate(images)
            for way in ways
        ]
        on_image(len(images), len(images))
        header = trials.header_of(monitor, ways, images, asked, annotations=annotations)
        with OutcomeFile(out, header) as file:
            file.add(found)
        return Trial(header, tuple(found), ())

    monkeypatch.setattr(trials, "run_ways", run_ways)
    return seen


def call(
    artifact: Path,
    scenes: Path,
    *arguments: str,
    left: str = "captions=0.3",
    of: Sequence[object] = POLICIES,
) -> Result:
    """Run the command with policies of our own."""
    policies = artifact.parent / "policies.json"
    policies.write_text(json.dumps(of))
    given = ["--images", str(scenes), "--annotations", str(scenes / "instances.json")]
    given += ["--left", left, "--policies", str(policies), *arguments]
    return CliRunner().invoke(main, ["calibrate", "policy", str(artifact), *given])


def test_a_policy_is_certified_and_written(
    artifact: Path, scenes: Path, written: list[Asked]
) -> None:
    """The table, the promise in words, and the artifact with all else as it was; captions were
    asked for as the artifact's own."""
    before = CalibratedDetector.load(artifact)
    result = call(artifact, scenes)
    assert result.exit_code == 0, result.stderr
    after = CalibratedDetector.load(artifact)
    assert after.certificate is not None
    assert after.certificate.policy["threshold"] == 0.3
    assert (after.certificate.images, after.certificate.level) == (20, 0.3)
    assert (after.created, after.threshold, after.guarantee) == (
        before.created,
        before.threshold,
        before.guarantee,
    )
    shown = " ".join(result.stdout.split())
    assert "certified, chosen" in shown
    assert str(after.certificate) in shown
    assert "names too little" in shown
    assert (artifact.parent / "artifact.outcomes.jsonl").is_file()
    assert written == [Asked(prompt=before.conditions.prompt, max_new_tokens=512)]


def test_json_has_every_policy_and_the_words(
    artifact: Path, scenes: Path, written: list[Asked], tmp_path: Path
) -> None:
    """One object on stdout."""
    out = tmp_path / "mine.jsonl"
    result = call(artifact, scenes, "--json", "--trials", str(out), left="mentions=0.4")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["certificate"]["words"].startswith("With 90% confidence")
    assert found["certificate"]["most"] == 16
    assert found["chosen"] == "mine"
    assert {row["name"]: row["aside"] for row in found["policies"]}[POLICIES[0]["name"]] is None
    assert (found["images"], found["no_policy"]) == (40, None)
    assert found["outcomes"] == str(out)
    assert len(written) == 1


def test_no_policy_leaves_the_artifact_alone(
    artifact: Path, scenes: Path, written: list[Asked]
) -> None:
    """Exit code 4, and why; also in the JSON."""
    before = (artifact / DOCUMENT).read_bytes()
    result = call(artifact, scenes, "--json", left="captions=0.02")
    assert result.exit_code == 4
    assert (artifact / DOCUMENT).read_bytes() == before
    found = json.loads(result.stdout)
    assert (found["certificate"], found["artifact"]) == (None, None)
    assert found["no_policy"]["reachable"] > 0.02
    assert "No policy keeps captions=0.02" in result.stderr
    assert "is as it was" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "left", "code", "message"),
    [
        ((), "captions", 2, "captions=0.15"),
        ((), "captions=7", 2, "between 0 and 1"),
        (("--max-cost", "0.5"), "captions=0.3", 2, "at least 1"),
        (("--limit", "7"), "captions=0.3", 1, "at least 20 images"),
        (("--lexicon", "coco"), "captions=0.3", 1, "lexicon"),
    ],
)
def test_what_is_wrong_is_said(
    artifact: Path,
    scenes: Path,
    written: list[Asked],
    arguments: tuple[str, ...],
    left: str,
    code: int,
    message: str,
) -> None:
    """In a line, without a trace, and nothing is written."""
    before = (artifact / DOCUMENT).read_bytes()
    result = call(artifact, scenes, *arguments, left=left)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.split())
    assert (artifact / DOCUMENT).read_bytes() == before
    assert len(written) <= 1


def test_an_interrupt_says_how_to_go_on(
    artifact: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 130, as everywhere."""

    def interrupted(*_: Any, **__: Any) -> Trial:
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "run_ways", interrupted)
    result = call(artifact, scenes)
    assert result.exit_code == 130
    assert "the same command continues" in result.stderr


@pytest.mark.once
def test_the_small_model_is_tried_for_real(artifact: Path, scenes: Path, tmp_path: Path) -> None:
    """From images to a policy that runs by its name; the same command again writes nothing anew."""
    out = tmp_path / "outcomes.jsonl"
    costs = ("--max-recall-loss", "1", "--confidence", "0.5")
    arguments = ("--limit", "20", "--trials", str(out), *costs)
    one = POLICIES[:1]
    first = call(artifact, scenes, *arguments, left="captions=0.9", of=one)
    assert first.exit_code == 0, first.stderr
    content = out.read_bytes()
    assert len(content.splitlines()) == 1 + 20 * 2
    again = call(artifact, scenes, *arguments, "--json", left="captions=0.9", of=one)
    assert again.exit_code == 0, again.stderr
    assert out.read_bytes() == content
    found = CalibratedDetector.load(artifact).certificate
    assert found is not None
    assert str(found) == json.loads(again.stdout)["certificate"]["words"]
