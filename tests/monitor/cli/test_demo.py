"""`sightline demo`: the first thing anybody runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from sightline.monitor.cli.main import main
from sightline.monitor.cli.terminal import harmless
from sightline.monitor.models import samples, small
from sightline.monitor.report import Report, parse_record


@pytest.fixture
def sample_folder(
    tmp_path: Path, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Two sample images in place of the packaged ones."""
    folder = tmp_path / "data" / "samples"
    folder.mkdir(parents=True)
    for name, picture in zip("ab", pictures, strict=False):
        picture.save(folder / f"{name}.png")
    monkeypatch.setattr(samples, "files", lambda _: tmp_path)
    return folder


def test_the_demo_captions_the_samples(
    tiny_folder: Path, sample_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captions, a table, and one readable report per image in the folder it names."""
    monkeypatch.setattr(small, "small_model_folder", lambda: tiny_folder)
    out = tmp_path / "reports"
    result = CliRunner().invoke(main, ["demo", "--out", str(out), "--max-new-tokens", "6"])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "b.json"]
    for path in out.iterdir():
        report = parse_record(path.read_text())
        assert isinstance(report, Report)
        assert report.model.name == "small"
        assert report.image is not None
        assert report.image.path.endswith(f"{path.stem}.png")
        assert harmless(report.text).split()[0] in result.output
    assert str(out) in result.output
    assert "flagged" in result.output


def test_the_demo_needs_a_folder_it_can_write(sample_folder: Path, tmp_path: Path) -> None:
    """A file in its way: exit code 1 and a message."""
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "file" / "reports")])
    assert result.exit_code == 1
    assert "cannot be made" in result.output


def test_a_package_without_its_data_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples or checkpoint missing: reinstall is the remedy."""
    monkeypatch.setattr(samples, "files", lambda _: tmp_path)
    with pytest.raises(FileNotFoundError, match="Reinstall"):
        samples.sample_images()
    monkeypatch.setattr(small, "files", lambda _: tmp_path)
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "reports")])
    assert result.exit_code == 1
    assert "Reinstall" in result.output
