"""`sightline evaluate policies`: from the command line to a table, a figure and a README."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sightline.calibration.policies import views
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds
from sightline.monitor.cli.main import main


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes with their annotations, and a file of ways."""
    folder = tmp_path_factory.mktemp("tried") / "scenes"
    export(seeds("development", 2, start=4), folder)
    ways = [{"name": "mine", "act": "stop", "threshold": 0.4}, {"act": "drop", "threshold": 0.4}]
    (folder.parent / "ways.json").write_text(json.dumps(ways), encoding="utf-8")
    return folder


def call(*arguments: object) -> Result:
    """Run the command with its streams apart."""
    return CliRunner().invoke(main, ["evaluate", "policies", *map(str, arguments)])


@pytest.fixture(scope="module")
def done(scenes: Path) -> Path:
    """The outcomes of the two policies and of greedy decoding."""
    out = scenes.parent / "outcomes.jsonl"
    result = tried(scenes, out)
    assert result.exit_code == 0, result.stderr
    assert "mine" in result.stdout
    return out


def tried(scenes: Path, out: Path, *more: object) -> Result:
    """Try the two policies."""
    return call(
        *("--images", scenes, "--annotations", scenes / "instances.json", "--out", out),
        *("--ways", scenes.parent / "ways.json", "--only", *more),
    )


def test_all_figures_come_as_json(done: Path) -> None:
    """From the file alone; every way with its figures, against greedy decoding."""
    result = call("--out", done, "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert [row["way"] for row in values["rows"]] == [
        "greedy",
        "greedy, watched",
        "mine",
        "drop, threshold 0.4",
    ]
    assert values["images"] == 2
    assert values["rows"][1]["against"]["same"]["value"] == 1.0


def test_a_complete_file_runs_no_model(
    done: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without the images the outcomes are read, and nothing is written about again."""

    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("the model was run")

    monkeypatch.setattr("sightline.calibration.policies.writing.Writer.write", forbidden)
    assert call("--out", done).exit_code == 0
    assert tried(scenes, done).exit_code == 0


def test_a_figure_is_drawn_and_a_readme_updated(done: Path, tmp_path: Path) -> None:
    """The figure by its suffix; the README keeps the rest of its text."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{views.BEGIN}\n{views.END}\nafter\n", encoding="utf-8")
    for name in ("f.png", "f.svg"):
        result = call("--out", done, "--figure", tmp_path / name, "--update", readme)
        assert result.exit_code == 0, result.stderr
        assert (tmp_path / name).stat().st_size > 1000
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "mine" in text
    assert "drop, threshold 0.4" in text


def test_other_ways_are_refused_and_said(done: Path, scenes: Path) -> None:
    """A file of another trial is left as it is."""
    before = done.read_bytes()
    result = tried(scenes, done, "--prompt", "What is there?")
    assert result.exit_code == 1
    assert "holds another trial" in result.stderr
    assert done.read_bytes() == before


def test_an_incomplete_file_asks_for_its_images(done: Path, tmp_path: Path) -> None:
    """It says how much is there, and what to do."""
    part = tmp_path / "part.jsonl"
    part.write_bytes(b"".join(done.read_bytes().splitlines(keepends=True)[:3]))
    result = call("--out", part)
    assert result.exit_code == 1
    assert "holds 2 outcomes" in result.stderr
    assert "--images" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only",), "--only leaves nothing"),
        (("--figure", "f.pdf"), "must end in .png or .svg"),
        (("--images", "."), "belong together"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    """Before anything is loaded."""
    result = call("--out", tmp_path / "x.jsonl", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_bad_file_of_ways_is_named(scenes: Path, tmp_path: Path) -> None:
    """The file, the number of the policy, and what is wrong with it."""
    bad = tmp_path / "bad.json"
    bad.write_text('[{"act": "jump"}]', encoding="utf-8")
    result = call(
        *("--images", scenes, "--annotations", scenes / "instances.json"),
        *("--out", tmp_path / "x.jsonl", "--ways", bad),
    )
    assert result.exit_code == 1
    assert "bad.json: Policy number 1 cannot be read" in result.stderr
    assert not (tmp_path / "x.jsonl").exists()
