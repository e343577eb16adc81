"""The calibrated policy: run by its name, and quoted where it ran and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sightline.detectors.calibrated import CalibratedDetector
from sightline.detectors.certificate import Certificate
from sightline.monitor.cli.calibration import introduction
from sightline.monitor.cli.main import main
from sightline.monitor.errors import OptionError
from sightline.monitor.judging.certified import promise_of, resolve
from sightline.monitor.judging.judge import ACTED
from sightline.monitor.policy.policy import AVOID, Intervention, Policy
from sightline.monitor.report import CalibrationSection, Report, parse_record
from sightline.monitor.session import Monitor

SAMPLE = Path(str(files("sightline.monitor").joinpath("data", "samples", "40000000.png")))
SMALL = Path(str(files("sightline.monitor").joinpath("data", "small", "calibration")))
STOP = Policy(act="stop", threshold=0.0001)


def certified(policy: Policy = STOP) -> CalibratedDetector:
    """The small model's calibration with a policy that nobody certified."""
    return with_parameters(policy.to_json())


def with_parameters(parameters: Mapping[str, Any]) -> CalibratedDetector:
    """The same, with whatever a file may hold in the place of a policy."""
    promise = Certificate(parameters, "captions", 0.2, 0.9, 700, 0.17, 0.48, 0.7, 0.72)
    return CalibratedDetector.load(SMALL).with_certificate(promise)


@cache
def small(policy: Policy | None = STOP) -> Monitor:
    """The small model, with a certified policy or without."""
    bare = CalibratedDetector.load(SMALL).with_certificate(None)
    return Monitor.from_pretrained("small", calibration=certified(policy) if policy else bare)


def report(policy: Policy | str | None, *, monitor: Monitor | None = None, **more: Any) -> Report:
    """The report of the sample's caption."""
    monitor = monitor or small()
    with Image.open(SAMPLE) as picture:
        asked = [more.pop("prompt")] if "prompt" in more else []
        inputs = monitor.prepare([picture.convert("RGB")], *asked)
    options = {"max_new_tokens": 512, "do_sample": False, **more}
    return monitor.generate(**inputs, policy=policy, **options).reports[0]


def judged(found: Report) -> CalibrationSection:
    """What the report says of the calibration."""
    assert found.calibration != "uncalibrated"
    return found.calibration


def test_the_calibrated_policy_runs_and_is_quoted() -> None:
    """What ran is the policy of the certificate; the report says what is promised, and nothing
    that contradicts it."""
    found = report("calibrated")
    assert found.policy == STOP.to_json()
    assert found.actions
    section = judged(found)
    assert section.certificate is not None
    assert section.certificate.words.startswith("With 90% confidence")
    assert (section.certificate.left, section.certificate.level) == ("captions", 0.2)
    assert section.limits == ()
    assert section.guarantee is None
    assert parse_record(found.to_json()) == found


def test_the_same_policy_by_its_parameters_is_the_same() -> None:
    """It is what is done that is certified, not how it was asked for."""
    assert judged(report(Policy(act="stop", threshold=0.0001))).certificate is not None


@pytest.mark.parametrize("policy", [None, "flag", "stop", Policy(act="stop", threshold=0.0002)])
def test_no_other_policy_is_quoted(policy: Policy | str | None) -> None:
    """Not without a policy, not with another threshold; acting under a promise on flags is said."""
    section = judged(report(policy))
    assert section.certificate is None
    assert (ACTED in section.limits) is (policy == "stop")


def test_what_the_certificate_does_not_cover_is_said() -> None:
    """Another question and other options, as for the promise on flags."""
    section = judged(report("calibrated", prompt="What is there?", repetition_penalty=1.1))
    assert section.certificate is not None
    assert any("another prompt" in limit for limit in section.limits)
    assert any("repetition_penalty" in limit for limit in section.limits)


def test_a_certified_policy_that_does_nothing_is_one() -> None:
    """Where the model keeps the promise by itself, nothing is done and the promise holds."""
    monitor = small(Policy(act="flag"))
    found = report("calibrated", monitor=monitor)
    assert found.text == report(None, monitor=monitor).text
    assert judged(found).certificate is not None
    with pytest.raises(OptionError, match="not need"):
        monitor.custom_generate("calibrated")


def test_a_stream_and_custom_generate_know_it_too() -> None:
    """Every way in which policies are given takes the name."""
    with Image.open(SAMPLE) as picture:
        inputs = small().prepare([picture.convert("RGB")])
    stream = small().stream(**inputs, policy="calibrated", max_new_tokens=512)
    with stream:
        list(stream)
    assert judged(stream.watch.reports[0]).certificate is not None
    assert stream.watch.reports[0].text == report("calibrated").text
    model: Any = small().model
    sequences = model.generate(
        **inputs, max_new_tokens=512, custom_generate=small().custom_generate("calibrated")
    )
    text = small().tokenizer.decode(
        sequences[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    assert text == report("calibrated").text


def test_where_there_is_none_it_is_refused() -> None:
    """Without a calibration, with one that has no policy, and by whatever way it is asked for."""
    monitor = small(None)
    with pytest.raises(OptionError, match="fused on small has none"):
        report("calibrated", monitor=monitor)
    with pytest.raises(OptionError, match="sightline calibrate policy"):
        monitor.stream(policy="calibrated", input_ids=None)
    with pytest.raises(OptionError, match="there is no calibration"):
        resolve("calibrated", None)
    with pytest.raises(ValueError, match="policy must be a Policy or one of"):
        resolve("certified", None)


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"act": "pray"},
        {"tries": 5},
        {"threshold": None, "more": None},
    ],
)
def test_a_strangers_policy_is_refused_and_never_quoted(change: dict[str, Any]) -> None:
    """What this release does not know it does not carry out, nor anything in its place."""
    calibration = with_parameters({**STOP.to_json(), **change})
    with pytest.raises(OptionError, match="must have the parameters"):
        resolve("calibrated", calibration)
    assert promise_of(calibration, STOP) is None


def test_no_default_stands_in_for_a_missing_parameter() -> None:
    """What was certified under another default was something else."""
    whole = Policy(tries=(Intervention(alpha=2.0, layers=(1, 3)), AVOID), threshold=0.3)
    assert resolve("calibrated", certified(whole)) == whole
    less = {key: value for key, value in whole.to_json().items() if key != "budget"}
    with pytest.raises(OptionError, match="anew"):
        resolve("calibrated", with_parameters(less))


def call(*arguments: str) -> Result:
    """`sightline caption` on the sample."""
    return CliRunner().invoke(main, ["caption", str(SAMPLE), *arguments])


def test_the_command_line_knows_it(tmp_path: Path) -> None:
    """By name, with the promise told once; not with another threshold, nor where there is none."""
    certified().save(tmp_path / "artifact")
    CalibratedDetector.load(SMALL).with_certificate(None).save(tmp_path / "bare")
    with_policy = ("--calibration", str(tmp_path / "artifact"), "--policy", "calibrated")
    result = call(*with_policy)
    assert result.exit_code == 0, result.stderr
    found = parse_record(result.stdout.strip())
    assert isinstance(found, Report)
    assert judged(found).certificate is not None
    assert "after the policy has acted" in " ".join(result.stderr.split())
    assert call(*with_policy, "--threshold", "0.3").exit_code == 2
    none = call("--calibration", str(tmp_path / "bare"), "--policy", "calibrated")
    assert none.exit_code == 1
    assert "sightline calibrate policy" in " ".join(none.stderr.split())


def test_the_introduction_promises_what_holds() -> None:
    """Under the certified policy its promise is told, else that on flags."""
    calibration = certified()
    assert "It covers flags" in introduction(calibration).plain
    told = introduction(calibration, calibration.certificate).plain
    assert "after the policy has acted" in told
    assert "It covers flags" not in told
