"""The policies that are tried: the default grid, and files of the user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sightline.calibration.policies.candidates import MOST, NOTHING, grid, read_candidates
from sightline.calibration.policies.ways import Acting, Plain
from sightline.monitor.policy.policy import Policy


def written(folder: Path, values: object) -> Path:
    """A file with these values."""
    path = folder / "policies.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_the_grid_has_names_and_thresholds_of_its_own() -> None:
    """10 to 20 of them, each acting, each with its own way of writing."""
    candidates = grid()
    assert 10 <= len(candidates) <= 20
    assert len({one.name for one in candidates} | {NOTHING.name}) == len(candidates) + 1
    for one in candidates:
        assert one.policy.acts
        assert one.policy.threshold is not None
        assert isinstance(one.way, Acting)
        assert (one.way.name, one.way.policy) == (one.name, one.policy)
    assert isinstance(NOTHING.way, Plain)


def test_a_file_names_policies_by_what_is_not_as_by_default(tmp_path: Path) -> None:
    """A threshold that is left out is the calibration's; what is there twice counts once."""
    stop = {"act": "stop"}
    path = written(tmp_path, [stop, {"act": "stop", "threshold": 0.3}, stop, {"name": "mine"}])
    found = read_candidates(path, threshold=0.25)
    assert [one.policy for one in found] == [
        Policy(act="stop", threshold=0.25),
        Policy(act="stop", threshold=0.3),
        Policy(threshold=0.25),
    ]
    assert found[0].name == "stop, threshold 0.25"
    assert found[2].name == "mine"


def test_policies_that_read_alike_are_told_apart(tmp_path: Path) -> None:
    """Some parameters are not in the few words of a name."""
    found = read_candidates(
        written(tmp_path, [{"budget": 10}, {"budget": 20}, {"act": "stop"}]), threshold=0.2
    )
    assert len({one.name for one in found}) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "list"),
        ([], "at least one"),
        ([{"act": "pray"}], "number 1"),
        ([{"act": "stop"}, {"surprise": 1}], "number 2"),
        ([{"act": "flag"}], "must act on flags"),
        ([{"act": "stop", "threshold": 2.0}], "probability"),
        ([{"act": "stop", "budget": n} for n in range(MOST + 1)], f"at most {MOST}"),
    ],
)
def test_what_cannot_be_tried_is_named(tmp_path: Path, values: object, message: str) -> None:
    """Which policy it is, and what was wrong with it."""
    with pytest.raises(ValueError, match=message):
        read_candidates(written(tmp_path, values), threshold=0.3)


def test_what_is_no_json_and_what_has_no_threshold(tmp_path: Path) -> None:
    """A calibration without a valid threshold lends none."""
    path = tmp_path / "policies.json"
    path.write_text("[{", encoding="utf-8")
    with pytest.raises(ValueError, match="must be a JSON list"):
        read_candidates(path, threshold=0.3)
    with pytest.raises(ValueError, match="must have a threshold"):
        read_candidates(written(tmp_path, [{"act": "stop"}]), threshold=None)
