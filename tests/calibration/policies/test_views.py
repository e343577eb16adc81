"""The comparison on a terminal, in Markdown and in JSON."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console
from sightline.calibration.policies import views
from sightline.calibration.policies.comparison import Comparison, compare_ways
from sightline.calibration.policies.ways import Guided, Plain

from .outcomes import STOP, trial
from .test_comparison import CUT, TRUE, WRONG

NASTY = replace(STOP, name="\x1b[31mred[/] | <b>*stop*")
UNLISTED = Guided(name="Eq. 4, alpha 3", family="Eq. 4", alpha=3.0, listed=False)


@pytest.fixture(scope="module")
def compared() -> Comparison:
    """Greedy decoding, a policy with a hostile name that is good, and a way for figures alone."""
    return compare_ways(
        trial({Plain(): [WRONG] * 4, NASTY: [CUT] * 4, UNLISTED: [TRUE, WRONG, WRONG, WRONG]})
    )


def shown(compared: Comparison, width: int) -> str:
    """What a terminal of that width shows."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(views.terminal(compared, width=width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_wide_terminal_has_all_columns(compared: Comparison) -> None:
    """Every column with its interval, and which ways reach the goal."""
    text = shown(compared, 240)
    for column in views.COLUMNS:
        assert column.title in text
    assert "reached" in text
    assert "50.0–50.0" in text
    assert "Eq. 4, alpha 3" not in text
    assert "\x1b[31m" not in text
    assert "[/] | <b>" in text


def test_a_narrow_terminal_has_the_main_ones(compared: Comparison) -> None:
    """No line is longer than the terminal, and it says where the rest is."""
    text = shown(compared, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "Dist-1" not in text
    assert "CHAIR_S" in text
    assert "shows all figures" in " ".join(text.split())


def test_markdown_is_a_table(compared: Comparison) -> None:
    """As many cells in each row as in the heading, whatever a way is called."""
    lines = [line for line in views.markdown(compared).splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(views.COLUMNS) + 3}
    assert "&lt;b&gt;" in lines[3]
    assert "−100%" in lines[3]
    assert lines[3].startswith("| **")


def test_all_rows_can_be_listed(compared: Comparison) -> None:
    """Those for figures alone too."""
    assert "alpha 3" in views.markdown(views.all_listed(compared))


def test_json_has_everything(compared: Comparison) -> None:
    """All rows, numbers unrounded, nothing that JSON does not know."""
    values = json.loads(json.dumps(views.as_json(compared), allow_nan=False))
    assert [row["way"] for row in values["rows"]] == ["greedy", NASTY.name, UNLISTED.name]
    assert values["rows"][1]["against"]["chair_i"]["value"] == -1.0
    assert values["goal"]["time"] == 1.35


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (views.percent, 0.1236, "12.4%"),
        (views.change, -0.694, "−69%"),
        (views.points, -0.0172, "−1.7"),
        (views.thousandths, 0.1402, ".140"),
        (views.times, 1.044, "1.04x"),
        (views.percent, float("nan"), "–"),
    ],
)
def test_figures_are_written_short(write: views.Writing, value: float, text: str) -> None:
    """As many digits as mean something."""
    assert write(value) == text
