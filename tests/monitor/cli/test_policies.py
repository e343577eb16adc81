"""`sightline caption --policy`: what was done about flags, in reports and on the terminal."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from sightline.monitor.cli.main import main
from sightline.monitor.cli.run import CaptionRun
from sightline.monitor.cli.terminal import CaptionView, told
from sightline.monitor.events import Mention, Retract, Token, Verdict
from sightline.monitor.models.images import MAX_PIXELS
from sightline.monitor.models.prompts import DEFAULT_PROMPT
from sightline.monitor.policy import Policy
from sightline.monitor.report import ActionSection, parse_record
from sightline.monitor.session import Monitor

SAMPLE = Path(str(files("sightline.monitor").joinpath("data", "samples", "40000000.png")))
ALL = "0.0001"
"""A threshold that flags nearly every object."""


def call(*arguments: str) -> Result:
    """Run the command on a sample with the small model."""
    return CliRunner().invoke(main, ["caption", str(SAMPLE), *arguments])


@pytest.mark.parametrize("policy", ["redecode", "drop", "stop"])
def test_actions_are_in_the_json(policy: str) -> None:
    """With both texts and scores; the line is a record that this package reads."""
    result = call("--policy", policy, "--threshold", ALL)
    assert result.exit_code == 0, result.stderr
    line = json.loads(result.stdout)
    assert line["policy"]["act"] == policy
    assert line["policy"]["threshold"] == float(ALL)
    assert line["actions"]
    for action in line["actions"]:
        assert action["old"]
        assert action["old_score"] >= float(ALL)
    assert parse_record(result.stdout.strip()).kind == "caption"


def test_what_no_policy_can_do_is_said_before_captioning(tiny_folder: Path) -> None:
    """Nothing can be acted on without a calibration, and there is no other act."""
    result = call("--model", str(tiny_folder), "--policy", "stop")
    assert result.exit_code == 1
    assert "has no calibration" in " ".join(result.stderr.split())
    assert not result.stdout
    assert call("--policy", "rewrite").exit_code == 2
    assert call("--policy", "stop", "--threshold", "nan").exit_code == 2


def test_a_terminal_gets_what_was_done(capsys: Any) -> None:
    """Below the caption, one line for each action."""
    monitor = Monitor.from_pretrained("small")
    with open(os.devnull, "w") as nowhere:
        console = Console(file=nowhere, force_terminal=True, width=200, record=True)
        run = CaptionRun(
            monitor=monitor,
            prompt=DEFAULT_PROMPT,
            max_new_tokens=96,
            max_pixels=MAX_PIXELS,
            record_file=None,
            console=console,
            log=Console(stderr=True),
            policy=Policy(act="stop", threshold=float(ALL)),
        )
        assert run.all([SAMPLE]) == 0
        once = console.export_text(clear=True)
        assert run.all([SAMPLE, SAMPLE], batch_size=2) == 0
        twice = console.export_text()
    assert once.count("ended before: ") == 1
    assert twice.count("ended before: ") == 2


def action(**changes: Any) -> ActionSection:
    """A replaced sentence."""
    values: dict[str, Any] = {
        "outcome": "replaced",
        "reason": "try 1 passed",
        "start": 0,
        "first_token": 0,
        "end_token": 3,
        "objects": ("cat",),
        "old": "A cat sits",
        "new": "A dog sits.",
        "old_score": 0.61,
        "new_score": 0.1,
        "intervention": "avoid",
        "tries": (),
        "extra_tokens": 3,
        "milliseconds": 4.0,
    }
    return ActionSection(**{**values, **changes})


def test_an_action_is_told_in_a_line() -> None:
    """Control characters of a caption do not reach the terminal."""
    assert told(action()).plain == "  rewritten: A cat sits -> A dog sits.  (cat 0.61)"
    assert "-> (nothing)" in told(action(new="")).plain
    assert "->" not in told(action(outcome="kept")).plain
    assert "\x1b" not in told(action(old="\x1b[2J", objects=("\x1b",))).plain


def test_a_retraction_takes_the_view_back() -> None:
    """What is void is gone, with its colours."""
    view = CaptionView()
    view.add(Token(0, 0, 1, "A dog.", 0, 6, None))
    view.add(Mention(0, 0, "dog", "dog", "dog", True, 2, 5, 0, 0, False))
    view.add(Verdict(0, 0, 1.0, 0.1, 0.5, False))
    view.add(Token(0, 1, 2, " A cat.", 6, 13, None))
    view.add(Mention(0, 1, "cat", "cat", "cat", True, 9, 12, 1, 1, False))
    view.add(Verdict(0, 1, 1.0, 0.9, 0.5, True))
    assert view.__rich__().plain == "A dog. A cat[!]."
    view.add(Retract(0, 1, 6, 2, 1))
    assert view.__rich__().plain == "A dog."
