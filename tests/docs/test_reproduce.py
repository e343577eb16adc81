"""The recipe of docs/reproduce.md: rehearsed on the small model, written down for COCO."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds
from sightline.monitor.cli.main import main

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "docs" / "reproduce.md"


@pytest.fixture(name="reproduce", scope="module")
def _reproduce() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("reproduce", ROOT / "docs" / "reproduce.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reproduce"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.once
def test_rehearsal(reproduce: ModuleType, tmp_path: Path) -> None:
    """The commands run one after the other, and every file that is promised is there.

    All but the certificate, which takes as long as all others; tests/calibration/cli has it.
    """
    pytest.importorskip("pyarrow", reason="the extra 'calibration' is not installed")
    out = tmp_path / "run"
    done = CliRunner().invoke(
        reproduce.reproduce, ["--out", str(out), "--rehearse", "--skip", "policy"]
    )
    assert done.exit_code == 0, done.output
    for name in set(reproduce.EXPECTED) - {"artifact.outcomes.jsonl"}:
        assert (out / name).exists(), name
    # It was trained to describe: to a yes/no question it says neither.
    pope = json.loads((out / "steps" / "pope.txt").read_text(encoding="utf-8"))
    assert pope["all"]["in words"]["unanswered"]["value"] == 1
    assert pope["all"]["official"]["yes"]["value"] == 1
    for said in ("greedy chair_s", "POPE f1, official", "AMBER chair", "everything is in"):
        assert said in done.stdout
    assert set(json.loads((out / "seconds.json").read_text())) >= {"collect-fit", "amber"}


def test_for_coco_it_is_what_the_page_says(reproduce: ModuleType, tmp_path: Path) -> None:
    """A dry run prints the page's commands, each of them one that sightline knows."""
    (tmp_path / "instances.json").write_text("{}")
    given = ["--out", "run", "--model", "llava-hf/llava-1.5-7b-hf", "--device", "cuda"]
    given += ["--images", "val2014", "--annotations", str(tmp_path / "instances.json")]
    given += ["--pope", "pope", "--amber", "amber/data", "--amber-images", "amber/image"]
    done = CliRunner().invoke(reproduce.reproduce, [*given, "--dry-run"])
    assert done.exit_code == 0, done.output
    commands = done.stdout.replace(str(tmp_path), "").splitlines()
    page = " ".join(RECIPE.read_text(encoding="utf-8").replace("\\\n", " ").split())
    for line in commands:
        words = line.split()[1:]
        group: click.Command = main
        while isinstance(group, click.Group):
            found = group.get_command(click.Context(group), words.pop(0))
            assert found is not None, line
            group = found
        named = {option for param in group.params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= named, line
        start = line.split(" --")[0].split()[:3]
        assert " ".join(word for word in start if "/" not in word) in page, line
    assert "scenes" not in {line.split()[1] for line in commands}
    assert sum("--device cuda" in line for line in commands) == 7


def test_no_image_is_in_two_parts(reproduce: ModuleType, tmp_path: Path) -> None:
    """COCO's images are drawn by a seed: the same again, disjoint, as links."""
    export(seeds("development", 12, start=7_200), tmp_path / "all")
    sizes = reproduce.Sizes(fit=5, policy=3, test=2, tried=1)
    recipe = reproduce.Recipe(
        out=tmp_path / "out",
        images=tmp_path / "all",
        annotations=tmp_path / "all" / "instances.json",
        sizes=sizes,
    )
    reproduce.divide(recipe)
    parts = [{p.name for p in recipe.part(name).iterdir()} for name in reproduce.PARTS]
    assert [len(part) for part in parts] == [5, 3, 2]
    assert len(set.union(*parts)) == 10
    assert all(p.is_symlink() and p.exists() for p in recipe.part("fit").iterdir())
    reproduce.divide(recipe)
    assert {p.name for p in recipe.part("fit").iterdir()} == parts[0]


def test_images_need_annotations(reproduce: ModuleType, tmp_path: Path) -> None:
    """One without the other, or an unknown step to skip, is refused before anything is run."""
    for given in (["--images", str(tmp_path)], ["--skip", "nothing"]):
        done = CliRunner().invoke(reproduce.reproduce, ["--out", str(tmp_path / "x"), *given])
        assert done.exit_code == 2
    assert not (tmp_path / "x").exists()
