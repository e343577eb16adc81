"""Questions put to the small model: one line each, whatever happens in between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sightline.calibration.benchmarks.asking import Asker
from sightline.calibration.benchmarks.errors import BenchmarkError
from sightline.calibration.benchmarks.replyfile import Item, ReplyFile
from sightline.calibration.scenes.coco import export, file_name
from sightline.calibration.scenes.seeds import seeds
from sightline.monitor import Monitor

SEEDS = seeds("development", 3, start=7_000)


@pytest.fixture(scope="module")
def monitor() -> Monitor:
    """The small model, with the calibration that comes with it."""
    return Monitor.from_pretrained("small")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    export(SEEDS, folder)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def _items() -> list[Item]:
    names = [file_name(SEEDS[0]), file_name(SEEDS[0]), "broken.png", file_name(SEEDS[1]), "no.png"]
    prompts = ["Is there a dog?", "Is there a cat in this image?", "?", "Is there a bus?", "?"]
    return [
        Item(name, prompt, {"question_id": i, "image": name})
        for i, (name, prompt) in enumerate(zip(names, prompts, strict=True))
    ]


def _asker(monitor: Monitor, images: Path, *, max_new_tokens: int = 8) -> Asker:
    return Asker(monitor, images, max_new_tokens=max_new_tokens, batch_size=2)


def _run(asker: Asker, path: Path, items: Sequence[Item]) -> list[dict[str, Any]]:
    with ReplyFile(path, items, asker.manner) as file:
        asker.run(items, file)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_question_has_its_line(monitor: Monitor, images: Path, tmp_path: Path) -> None:
    """Answers are those of generate, with the monitor's verdicts; a bad image says what it is."""
    rows = _run(_asker(monitor, images), tmp_path / "out.jsonl", _items())
    assert [row["question_id"] for row in rows] == [0, 1, 2, 3, 4]
    assert [key for key in ("answer", "error") for row in rows if key in row] == [
        *["answer"] * 3,
        *["error"] * 2,
    ]
    assert "not an image" in rows[2]["error"]
    assert "No such image" in rows[4]["error"]
    first = monitor.prepare([_opened(images, 3)], "Is there a bus?")
    plain = monitor.model.generate(**first, max_new_tokens=8, do_sample=False)  # type: ignore[operator]
    text = monitor.tokenizer.decode(
        plain[0, first["input_ids"].shape[1] :], skip_special_tokens=True
    )
    assert rows[3]["answer"] == text
    assert rows[3]["calibration"]
    mention = rows[3]["mentions"][0]
    assert {"word", "svar", "probability", "flagged"} <= mention.keys()
    assert 0 <= mention["probability"] <= 1


def _opened(images: Path, place: int) -> Any:
    from sightline.monitor.models.images import open_image

    return open_image(images / _items()[place].image).image


def test_killed_at_any_byte_it_goes_on(monitor: Monitor, images: Path, tmp_path: Path) -> None:
    """What comes out is what comes out of an uninterrupted run, byte for byte."""
    asker, items, path = _asker(monitor, images), _items(), tmp_path / "out.jsonl"
    _run(asker, path, items)
    whole = path.read_bytes()
    for cut in range(0, len(whole), len(whole) // 7):
        path.write_bytes(whole[:cut])
        _run(asker, path, items)
        assert path.read_bytes() == whole, cut
    assert not any(tmp_path.glob("*.part"))


def test_failures_are_asked_again_on_request(
    monitor: Monitor, images: Path, tmp_path: Path
) -> None:
    """Once the picture is there, its question is answered, and nothing else is asked again."""
    asker, items, path = _asker(monitor, images), _items()[3:], tmp_path / "out.jsonl"
    folder = tmp_path / "images"
    folder.mkdir()
    scene = (images / items[0].image).read_bytes()
    (folder / items[0].image).write_bytes(scene)
    asker = _asker(monitor, folder)
    before = _run(asker, path, items)
    (folder / "no.png").write_bytes(scene)
    assert _run(asker, path, items) == before
    with ReplyFile(path, items, asker.manner) as file:
        file.drop_failures()
        asker.run(items, file)
    after = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert after[0] == before[0]
    assert "error" in before[1]
    assert after[1]["answer"]


def test_another_job_is_not_mixed_in(monitor: Monitor, images: Path, tmp_path: Path) -> None:
    """Other questions, another limit, another writer, another kind of file: refused, untouched."""
    items, path = _items()[:1], tmp_path / "out.jsonl"
    _run(_asker(monitor, images), path, items)
    before = path.read_bytes()
    with pytest.raises(BenchmarkError, match=r"max_new_tokens \(8 there, 9 now\)"):
        _run(_asker(monitor, images, max_new_tokens=9), path, items)
    with pytest.raises(BenchmarkError, match="differs is the questions"):
        _run(_asker(monitor, images), path, _items()[1:2])
    manner = _asker(monitor, images).manner
    with (
        ReplyFile(path, items, manner),
        pytest.raises(BenchmarkError, match="another one does"),
        ReplyFile(path, items, manner),
    ):
        pass
    assert path.read_bytes() == before
    path.write_bytes(b"dear diary")
    with pytest.raises(BenchmarkError, match="dear diary"):
        _run(_asker(monitor, images), path, items)
    assert path.read_bytes() == b"dear diary"


def test_what_is_not_the_images_fault_ends_it(
    monitor: Monitor, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that can answer nothing is not asked three thousand times."""
    asked = []

    def broken(*_: object, **__: object) -> None:
        asked.append(1)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(monitor, "generate", broken)
    items = [Item(file_name(SEEDS[0]), str(i), {"question_id": i}) for i in range(100)]
    with pytest.raises(BenchmarkError, match=r"8 questions in a row.*out of memory"):
        _run(_asker(monitor, images), tmp_path / "out.jsonl", items)
    assert len(asked) < 20
