"""The file of a trial: whole lines, one trial, whatever ends the process that writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sightline.calibration.policies.outcomefile import (
    OutcomeFile,
    Trial,
    TrialError,
    TrialHeader,
    Unreadable,
)
from sightline.calibration.policies.ways import Plain, Watched

from .outcomes import STOP, header, outcome


def written(path: Path) -> None:
    """A file with the outcomes of one image."""
    with OutcomeFile(path, header()) as file:
        file.add([outcome(), outcome(STOP.name, actions={"stopped": 1})])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Header, outcomes and images that cannot be read come back as they were."""
    path = tmp_path / "new" / "outcomes.jsonl"
    written(path)
    with OutcomeFile(path, header()) as file:
        assert len(file.trial.outcomes) == 2
        assert not file.trial.complete
        file.skip(Unreadable("2", "ImageError: truncated"))
    trial = Trial.load(path)
    assert trial.header == header()
    assert trial.outcomes == (outcome(), outcome(STOP.name, actions={"stopped": 1}))
    assert trial.unreadable == (Unreadable("2", "ImageError: truncated"),)
    assert trial.complete


@pytest.mark.parametrize("cut", [1, 7, 150])
def test_half_a_line_is_thrown_away(tmp_path: Path, cut: int) -> None:
    """The next writer begins on a line of its own, and nothing is there twice."""
    path = tmp_path / "outcomes.jsonl"
    written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert Trial.load(path).outcomes == (outcome(),)
    with OutcomeFile(path, header()) as file:
        assert file.trial.outcomes == (outcome(),)
        file.add([outcome(STOP.name, actions={"stopped": 1})])
    assert path.read_bytes() == whole


def test_half_a_header_is_begun_anew(tmp_path: Path) -> None:
    """A process that was killed at its first line has left nothing of worth."""
    path = tmp_path / "outcomes.jsonl"
    written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:30])
    written(path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (header(model="another"), "model: 'made-up' and 'another'"),
        (header(prompt="Why?"), "prompt: 'What is there"),
        (header(which="3"), "which: '2' and '3'"),
        (header((Plain(), Watched())), "ways: stop, threshold 0.4 and greedy, watched"),
        (header((STOP, Plain())), "ways: the same in another order"),
    ],
)
def test_another_trial_is_refused(tmp_path: Path, other: TrialHeader, said: str) -> None:
    """It says what differs, and the file is left as it was."""
    path = tmp_path / "outcomes.jsonl"
    written(path)
    before = path.read_bytes()
    with pytest.raises(TrialError, match=said), OutcomeFile(path, other):
        pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["notes of mine", "notes of mine\n", '{"a": 1}\n', "[]\n"])
def test_a_foreign_file_is_left_alone(tmp_path: Path, content: str) -> None:
    """Whatever else lies there is neither read as a trial nor written over."""
    path = tmp_path / "notes.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TrialError, match="Choose another"), OutcomeFile(path, header()):
        pass
    assert path.read_text(encoding="utf-8") == content


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """The line, what is wrong with it, and what to do."""
    path = tmp_path / "outcomes.jsonl"
    written(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], "{}", lines[2], ""]), encoding="utf-8")
    with pytest.raises(TrialError, match=r"line 2 must be an outcome.*Remove the line"):
        Trial.load(path)
    with pytest.raises(TrialError, match="could not be read"):
        Trial.load(tmp_path / "none.jsonl")


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A later release's file is not misread."""
    path = tmp_path / "outcomes.jsonl"
    path.write_text(header().to_json().replace('"version": 1', '"version": 2') + "\n")
    with pytest.raises(TrialError, match="version 1, was: 2"):
        Trial.load(path)
