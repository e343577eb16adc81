"""The comparison as text: nothing foreign is obeyed, and a marked block is rewritten in place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sightline.calibration.reporting.comparison import Comparison, Row, Source
from sightline.calibration.reporting.comparison_views import (
    BEGIN,
    END,
    as_json,
    figure,
    markdown,
    terminal,
    update,
)
from sightline.calibration.reporting.scoring import NotMeasured
from sightline.calibration.statistics import Estimate

HOSTILE = "evil|<script>alert(1)</script> `x` [red]*\x1b[31m" + END


def _row(name: str, value: float) -> Row:
    found = Estimate(value, value - 0.01, value + 0.01)
    lift = Estimate(value - 0.9, value - 0.95, value - 0.85)
    return Row(name, "predicting", 100, found, found, found, found, found, lift, None, found)


SOURCE = Source("small", "", "What?", 30, 100, 13, "0" * 64)
COMPARISON = Comparison(
    SOURCE,
    SOURCE,
    (_row("svar", 0.88), _row("fused", 0.95)),
    (NotMeasured("lens", "Nothing recorded."),),
    ("Few images.",),
)


def _shown(comparison: Comparison, width: int) -> str:
    console = Console(width=width, record=True, color_system=None, file=None, quiet=False)
    with console.capture() as captured:
        console.print(terminal([comparison], width=width))
    return captured.get()


def test_figures_are_short() -> None:
    """Three digits, no leading zero, a true minus, a dash for what is undefined."""
    assert figure(0.8931) == ".893"
    assert figure(1.0) == "1.000"
    assert figure(-0.03, signed=True) == "−.030"
    assert figure(0.03, signed=True) == "+.030"
    assert figure(float("nan")) == "–"


@pytest.mark.parametrize("width", [80, 140])
def test_terminal_fits_its_width(width: int) -> None:
    """No line is longer than the terminal; intervals are shown where there is room for them."""
    shown = _shown(COMPARISON, width)
    assert max(map(len, shown.splitlines())) <= width
    assert ".950" in shown
    assert ("−.070 to +.030" in shown) == (width >= 130)
    assert "lens: not measured. Nothing recorded." in shown
    assert "Few images." in shown


def test_markdown_is_a_table() -> None:
    """One line a detector, as many cells as headings, the best in bold."""
    lines = markdown([COMPARISON]).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 4
    assert len({row.count("|") for row in rows}) == 1
    assert "**.950** <sub>.940–.960</sub>" in rows[3]
    assert rows[2].count("**") == 2
    assert rows[2].endswith("| **.880** |")  # of calibration errors the smallest is best
    assert "- `lens` was not measured. Nothing recorded." in lines
    assert "- Few images." in lines


def test_hostile_names_are_inert() -> None:
    """A model's name can neither end the cell, nor bring HTML, nor colour the terminal."""
    hostile = replace(COMPARISON, on=replace(SOURCE, model=HOSTILE))
    text = markdown([hostile])
    assert "<script>" not in text
    assert END not in text
    assert "\x1b" not in text
    assert "evil\\|" in text
    assert "\x1b" not in _shown(hostile, 140)
    assert "[red]" in _shown(hostile, 140)


def test_json_has_no_nan() -> None:
    """What is undefined is null, and all figures are unrounded."""
    undefined = Estimate(float("nan"), float("nan"), float("nan"))
    rows = (replace(COMPARISON.rows[0], auroc=undefined), COMPARISON.rows[1])
    known = json.loads(json.dumps(as_json([replace(COMPARISON, rows=rows)]), allow_nan=False))
    first, second = known["comparisons"][0]["rows"]
    assert first["auroc"]["value"] is None
    assert second["auroc"]["value"] == 0.95


def test_update_rewrites_the_block_alone(tmp_path: Path) -> None:
    """What stands around the marks stays; the same text again changes nothing."""
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nEnd.\n", encoding="utf-8")
    readme.chmod(0o640)
    assert update(readme, markdown([COMPARISON]))
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"# Title\n\n{BEGIN}\n\n**small")
    assert text.endswith(f"\n\n{END}\n\nEnd.\n")
    assert "old" not in text
    assert readme.stat().st_mode & 0o777 == 0o640
    assert not update(readme, markdown([COMPARISON]))


@pytest.mark.parametrize("text", ["nothing", BEGIN, END + BEGIN, BEGIN + END + BEGIN + END])
def test_update_needs_its_marks(tmp_path: Path, text: str) -> None:
    """Marks that are missing, doubled or the wrong way round leave the file as it was."""
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="once each"):
        update(readme, "new")
    assert readme.read_text(encoding="utf-8") == text
