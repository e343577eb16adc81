"""Every example runs as it is and prints what it promises."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
EXAMPLES: Final = ROOT / "examples"


Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs an example in an empty folder and returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))

    def invoke(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capfd.readouterr().out

    return invoke


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrap_generate.py", "horse"),
        ("custom_generate.py", "stopped"),
        ("stream.py", "The image features"),
    ],
)
def test_short_examples(run: Run, name: str, said: str) -> None:
    """They print captions and what became of them."""
    assert said in run(name)


def test_the_batch_job_goes_on(run: Run, tmp_path: Path) -> None:
    """Run twice, it writes each report once."""
    assert run("batch_job.py").startswith("6 captions")
    before = (tmp_path / "reports.jsonl").read_text(encoding="utf-8")
    run("batch_job.py")
    assert (tmp_path / "reports.jsonl").read_text(encoding="utf-8") == before
    assert len(before.splitlines()) == 6


def test_a_calibration_of_ones_own(run: Run, tmp_path: Path) -> None:
    """Images are rendered, collected and fitted, and the monitor judges with the result."""
    printed = run("own_calibration.py", "work", "120")
    assert (tmp_path / "work" / "artifact" / "calibration.json").is_file()
    assert "The image features" in printed


def test_the_web_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image in, verdicts out; what is no image is refused with the reason."""
    pytest.importorskip("fastapi", reason="fastapi is not installed")
    from sightline.monitor.models.samples import sample_images
    from starlette.testclient import TestClient

    monkeypatch.syspath_prepend(str(EXAMPLES))
    client = TestClient(importlib.import_module("web_app").app)
    answer = client.post("/caption?policy=stop", content=sample_images()[0].read_bytes())
    assert answer.status_code == 200
    assert answer.json()["objects"]
    assert client.post("/caption", content=b"no image").status_code == 400


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells run in order, and its page is written."""
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "walkthrough.ipynb").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), names)
    assert (tmp_path / "captions.html").stat().st_size > 10_000


def test_each_example_is_listed() -> None:
    """The folder's README names every file."""
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".ipynb"):
            assert f"]({path.name})" in listed
