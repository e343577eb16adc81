"""What README promises, done as it is written there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_LINES: Final = 200


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def beside_a_photo(
    tmp_path: Path, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder to work in that holds the picture which the pages speak of."""
    pictures[0].save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)


def _run(page: Path, folder: Path) -> dict[str, Any]:
    """Each block after the one before, on a tiny model in place of LLaVA-1.5; what they leave."""
    names: dict[str, Any] = {}
    blocks = _blocks("python", page.read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        block = block.replace("llava-hf/llava-1.5-7b-hf", str(folder))
        exec(block.replace("max_new_tokens=512", "max_new_tokens=12"), names)
    return names


@pytest.mark.usefixtures("beside_a_photo")
@pytest.mark.parametrize("page", ["README.md", "docs/watch-your-model.md"])
def test_the_ways_to_watch_run(page: str, tiny_folder: Path) -> None:
    """The call that stays the user's ends as it should, with a report of every noun."""
    report = _run(ROOT / page, tiny_folder)["watch"].reports[0]
    assert report.finish in ("eos", "length")
    assert report.tokens


@pytest.mark.usefixtures("beside_a_photo")
def test_the_policy_runs(tiny_folder: Path) -> None:
    """What acts on flags does so, and its report says under which policy."""
    report = _run(ROOT / "docs" / "act-on-flags.md", tiny_folder)["captions"].reports[0]
    assert report.policy is not None
    assert report.policy["act"] == "redecode"


def test_the_extras_exist() -> None:
    """The extra that README's test command installs is one of pyproject's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = re.findall(r"'\.\[(\w+)\]'", README)
    assert found
    for extra in found:
        assert extra in project["optional-dependencies"]


def test_it_stays_a_page() -> None:
    """What needs more room has a page in docs/."""
    assert len(README.splitlines()) <= MOST_LINES


def test_the_demo_prints_what_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The caption, its flag and its row of the summary are those of `sightline demo`."""
    from sightline.monitor.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main(["demo", "--count", "1", "--out", str(tmp_path)])
    assert not ended.value.code
    printed = " ".join(capsys.readouterr().out.split())
    shown = next(block for block in _blocks("text") if "[!]" in block)
    caption, _, rows = shown.partition("\n\n")
    assert " ".join(caption.split()) in printed
    # The last column is the seconds that it took.
    row = rows.splitlines()[1].rsplit(maxsplit=1)[0]
    assert " ".join(row.split()) in printed
