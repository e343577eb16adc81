"""Collecting with the small model: labelled as scenes are, stopped anywhere, shared by many."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sightline.calibration.collecting.captions import TableCaption, read_captions
from sightline.calibration.collecting.collect import CollectError, Collector
from sightline.calibration.collecting.collected import CollectedCaption
from sightline.calibration.collecting.folder import TableFolder
from sightline.calibration.collecting.header import read_header
from sightline.calibration.collecting.merge import merge
from sightline.calibration.collecting.sources import Source, deal, find_sources
from sightline.calibration.collecting.table import CalibrationTable
from sightline.calibration.objects.annotations import Annotations
from sightline.calibration.scenes.coco import export
from sightline.calibration.scenes.seeds import seeds
from sightline.detectors.mentions import MentionEvidence, Mentions
from sightline.monitor.errors import InputError
from sightline.monitor.events import Event, Mention, Token, Word
from sightline.monitor.models.images import open_image
from sightline.monitor.models.prompts import DEFAULT_PROMPT
from sightline.monitor.session import Monitor
from sightline.monitor.watching.observed import MentionObserver

IMAGES, BATCH = 22, 4

Run = Callable[..., CalibrationTable]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of scenes that the small model has never seen, with their annotations."""
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    export(seeds("development", IMAGES, start=5000), folder)
    return folder


@pytest.fixture(scope="session")
def monitor() -> Monitor:
    """The small model, watched in all layers."""
    return Monitor.from_pretrained("small", calibration=None, watch_layers="all")


@pytest.fixture(scope="session", name="annotations")
def _annotations(scenes: Path, monitor: Monitor) -> Annotations:
    """What is in the scenes."""
    return Annotations.load(scenes / "instances.json", monitor.lexicon)


@pytest.fixture(scope="session")
def run(scenes: Path, monitor: Monitor, annotations: Annotations) -> Run:
    """Collects into a folder."""

    def collect(
        out: Path, *, shard: tuple[int, int] = (1, 1), batch_size: int = BATCH, **options: Any
    ) -> CalibrationTable:
        images = options.pop("images", scenes)
        collector = Collector(
            options.pop("monitor", monitor),
            annotations,
            prompt=DEFAULT_PROMPT,
            max_new_tokens=options.pop("max_new_tokens", 160),
            batch_size=batch_size,
        )
        mine, share = deal(
            find_sources(images, annotations), number=shard[0], of=shard[1], batch_size=batch_size
        )
        with TableFolder(out, collector.header(share)) as folder:
            collector.run(mine, folder, **options)
        return CalibrationTable.load(out)

    return collect


@pytest.fixture(scope="session")
def uninterrupted(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of all scenes."""
    out = tmp_path_factory.mktemp("table") / "whole"
    run(out)
    return out


def timeless(folder: Path) -> list[TableCaption]:
    """The captions of a table without how long they took."""
    return [replace(one, seconds=None) for one in read_captions(folder)]


def test_labels_follow_the_annotations(uninterrupted: Path, annotations: Annotations) -> None:
    """Every mention is hallucinated or not by CHAIR's rule, and some are."""
    table = CalibrationTable.load(uninterrupted)
    assert len(table.image_ids) == IMAGES
    for name, image, value in zip(table.mentions.object, table.images, table.labels, strict=True):
        assert value == (name not in annotations.truth(table.image_ids[image]))
    assert 0 < table.labels.mean() < 0.5
    assert table.info.revision.startswith("sha256:")
    assert table.info.settings["do_sample"] is False
    assert read_header(uninterrupted).finished


def test_a_row_is_what_the_monitor_saw(uninterrupted: Path, scenes: Path, monitor: Monitor) -> None:
    """Captioned alone through the monitor, an image shows the numbers of its rows in the table."""
    table = CalibrationTable.load(uninterrupted)
    chosen = int(np.bincount(table.images).argmax())
    observer, found = MentionObserver(), []

    def listen(event: Event) -> None:
        match event:
            case Mention(provisional=False):
                observer.mention(event)
                found.append(event)
            case Token():
                observer.token(event.evidence)
            case Word():
                observer.word(event)
            case _:
                pass

    image = open_image(scenes / f"{table.image_ids[chosen]}.png").image
    inputs = monitor.prepare([image])
    result = monitor.generate(**inputs, on_event=listen, max_new_tokens=160)
    evidence = [observer.evidence(one) for one in found if one.object is not None]
    alone = Mentions.of([one for one in evidence if isinstance(one, MentionEvidence)])
    rows = table.mentions.take(table.images == chosen)
    assert alone.object.tolist() == rows.object.tolist()
    for name in ("index", "word", "repeats"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(rows, name))
    for name in ("masses", "naming", "log_prob", "entropy", "margin"):
        np.testing.assert_allclose(getattr(alone, name), getattr(rows, name), atol=2e-4)
    (caption,) = [
        one for one in read_captions(uninterrupted) if one.image_id == table.image_ids[chosen]
    ]
    assert caption.text == result.texts[0]
    assert caption.tokens == len(result.reports[0].tokens)


def test_shards_make_the_whole(run: Run, uninterrupted: Path, tmp_path: Path) -> None:
    """Three shards, merged, hold the very numbers of one run."""
    parts = [tmp_path / str(i) for i in (1, 2, 3)]
    for i, part in enumerate(parts, 1):
        run(part, shard=(i, 3))
    merge(parts, tmp_path / "all")
    merged, whole = CalibrationTable.load(tmp_path / "all"), CalibrationTable.load(uninterrupted)
    assert merged.data_hash == whole.data_hash
    assert timeless(tmp_path / "all") == timeless(uninterrupted)


def test_batch_size_matters_no_more_than_rounding(
    run: Run, uninterrupted: Path, tmp_path: Path
) -> None:
    """In batches of seven, the same captions and evidence."""
    other, whole = run(tmp_path / "t", batch_size=7), CalibrationTable.load(uninterrupted)
    assert other.mentions.object.tolist() == whole.mentions.object.tolist()
    np.testing.assert_allclose(other.mentions.masses, whole.mentions.masses, atol=2e-4)


def test_done_is_done(run: Run, uninterrupted: Path, tmp_path: Path) -> None:
    """Run again, a finished collection captions nothing and changes nothing."""
    folder = Path(shutil.copytree(uninterrupted, tmp_path / "t"))
    captioned: list[CollectedCaption] = []
    again = run(folder, on_captions=captioned.extend)
    assert not captioned
    assert again.data_hash == CalibrationTable.load(uninterrupted).data_hash


def _collect(run: Run, out: Path) -> None:
    torch.set_num_threads(1)  # a forked process has none of its parent's threads
    run(out)


@pytest.mark.once
@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
def test_killed_at_any_moment_nothing_is_lost_or_doubled(
    run: Run, uninterrupted: Path, tmp_path: Path
) -> None:
    """Killed at random moments and started again, the table is that of an uninterrupted run."""
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    draw = random.Random(os.urandom(8))
    out = tmp_path / "t"
    kills = 0
    seen: set[str] = set()
    while True:
        worker = context.Process(target=_collect, args=(run, out))
        worker.start()
        worker.join(draw.uniform(0.05, 0.7) if kills < 12 else None)
        if worker.exitcode is not None:
            break
        worker.kill()
        worker.join()
        kills += 1
        if (out / "table.json").exists():
            done = {one.image_id for one in read_captions(out)}
            assert seen <= done, "a part that was there is gone"
            seen = done
    assert worker.exitcode == 0
    assert kills > 1
    table, whole = CalibrationTable.load(out), CalibrationTable.load(uninterrupted)
    assert table.data_hash == whole.data_hash
    assert timeless(out) == timeless(uninterrupted)
    assert not list(out.glob(".*.part"))


def test_unreadable_images_are_recorded_and_skipped(
    run: Run, scenes: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """A broken file costs its own row alone, and is not tried again."""
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    broken = sorted(images.glob("*.png"))[5]
    broken.write_bytes(broken.read_bytes()[:100])
    table = run(tmp_path / "t", images=images)
    assert len(table.image_ids) == IMAGES - 1
    failed = [one for one in read_captions(tmp_path / "t") if one.error is not None]
    assert [one.file for one in failed] == [broken.name]
    assert failed[0].error is not None
    assert failed[0].error.startswith("ImageError: ")
    assert "truncated or damaged" in failed[0].error
    captioned: list[CollectedCaption] = []
    run(tmp_path / "t", images=images, on_captions=captioned.extend)
    assert not captioned


def test_one_image_that_fails_the_model_stops_no_other(
    run: Run,
    scenes: Path,
    monitor: Monitor,
    annotations: Annotations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The images of its batch are captioned one by one, and it alone is recorded."""
    real = monitor.prepare

    def prepare(images: list[Any], *rest: Any) -> Any:
        if any(image.getpixel((0, 0)) == poison for image in images):
            raise RuntimeError("no such picture")
        return real(images, *rest)

    sources = find_sources(scenes, annotations)
    pixels = [open_image(source.path).image.getpixel((0, 0)) for source in sources]
    chosen = next(i for i, pixel in enumerate(pixels) if pixels.count(pixel) == 1)
    poison = pixels[chosen]
    monkeypatch.setattr(monitor, "prepare", prepare)
    run(tmp_path / "t")
    failed = [one for one in read_captions(tmp_path / "t") if one.error is not None]
    assert [one.image_id for one in failed] == [sources[chosen].image_id]
    assert failed[0].error == "RuntimeError: no such picture"


def test_what_failed_is_tried_again_on_demand(
    run: Run, scenes: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """Broken files that were replaced come into the table as if they had never been broken."""
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    names = [path.name for path in sorted(images.glob("*.png"))]
    for name in (names[0], names[5], names[6]):
        (images / name).write_bytes(b"no picture")
    out = tmp_path / "t"
    run(out, images=images)
    shutil.copy(scenes / names[0], images)
    shutil.copy(scenes / names[6], images)
    with TableFolder(out, read_header(out)) as folder:
        assert folder.drop_failures() == 3
        assert len(folder.done()) == IMAGES - 3
    run(out, images=images)
    whole = timeless(uninterrupted)
    found = timeless(out)
    assert [one.file for one in found if one.error is not None] == [names[5]]
    assert found[:5] + found[6:] == whole[:5] + whole[6:]


def test_without_memory_batches_are_smaller_and_no_image_is_lost(
    run: Run, monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for two images at once: the table of a run in twos."""
    expected = run(tmp_path / "twos", batch_size=2, max_new_tokens=16)
    real: Any = monitor.model.generate
    sizes: list[int] = []

    def generate(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(**inputs)

    monkeypatch.setattr(monitor.model, "generate", generate)
    table = run(tmp_path / "t", max_new_tokens=16)
    assert sizes == [BATCH] + [2] * (IMAGES // 2)
    assert table.data_hash == expected.data_hash


def test_a_lost_device_ends_the_run_and_the_next_one_goes_on(
    run: Run, monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch it was busy with is recorded as failed, so that it cannot stop every run."""
    real: Any = monitor.model.generate
    calls: list[int] = []

    def generate(**inputs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        return real(**inputs)

    monkeypatch.setattr(monitor.model, "generate", generate)
    with pytest.raises(CollectError, match="--retry-failed"):
        run(tmp_path / "t", max_new_tokens=16)
    assert len(read_captions(tmp_path / "t")) == 2 * BATCH
    run(tmp_path / "t", max_new_tokens=16)
    failed = [one.error is not None for one in read_captions(tmp_path / "t")]
    assert failed == [BATCH <= place < 2 * BATCH for place in range(IMAGES)]


def test_a_model_that_fails_on_everything_is_not_taken_for_bad_images(
    run: Run, monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three failures in a row collecting stops, and what failed is captioned next time."""

    def prepare(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(monitor, "prepare", prepare)
    with pytest.raises(CollectError, match=r"3 images in a row.*out of memory"):
        run(tmp_path / "t")
    monkeypatch.undo()
    assert len(run(tmp_path / "t").image_ids) == IMAGES


def test_captions_that_were_cut_have_no_naming_row_at_the_cut(run: Run, tmp_path: Path) -> None:
    """Cut after a few tokens, a mention in the last one has its naming row unknown."""
    for limit in range(4, 12):
        table = run(tmp_path / str(limit), batch_size=22, max_new_tokens=limit)
        cut = np.isnan(table.mentions.naming).all(axis=(1, 2, 3))
        if cut.any():
            assert not np.isnan(table.mentions.masses).any()
            return
    pytest.fail("no caption was cut at an object")


def test_images_without_annotations_are_refused(
    scenes: Path, annotations: Annotations, tmp_path: Path
) -> None:
    """The message names some, and what to do with them."""
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    first = min(images.glob("*.png"))
    for i in range(7):
        shutil.copy(first, images / f"99999{i}.png")
    with pytest.raises(
        InputError, match=r"7 of 29 .*999990\.png, 999991\.png.*, \.\.\.\. Move them"
    ):
        find_sources(images, annotations)


def test_two_files_of_one_image_are_refused(
    scenes: Path, annotations: Annotations, tmp_path: Path
) -> None:
    """Its mentions would count twice."""
    images = Path(shutil.copytree(scenes, tmp_path / "images"))
    first = min(images.glob("*.png"))
    shutil.copy(first, first.with_suffix(".bmp"))
    with pytest.raises(InputError, match="id of its own"):
        find_sources(images, annotations)


def test_folders_without_images_are_refused(tmp_path: Path, annotations: Annotations) -> None:
    """An empty folder, and none."""
    with pytest.raises(InputError, match="holds no image files"):
        find_sources(tmp_path, annotations)
    with pytest.raises(InputError, match="is none"):
        find_sources(tmp_path / "gone", annotations)


def test_plain_annotations_serve_as_well(
    scenes: Path, monitor: Monitor, annotations: Annotations, tmp_path: Path
) -> None:
    """A JSON object from id to names finds the images that COCO's file finds."""
    plain = {i: sorted(names) for i, names in annotations.objects.items()}
    path = tmp_path / "plain.json"
    path.write_text(json.dumps(plain))
    known = Annotations.load(path, monitor.lexicon)
    found = [source.image_id for source in find_sources(scenes, known)]
    assert found == [source.image_id for source in find_sources(scenes, annotations)]


def test_dealing_keeps_batches_whole() -> None:
    """Every image is in one shard, and each batch of a shard is a batch of the whole."""
    sources = [Source(str(i), Path(f"{i}.png")) for i in range(23)]
    dealt = [deal(sources, number=i, of=3, batch_size=4)[0] for i in (1, 2, 3)]
    assert sorted(s.image_id for one in dealt for s in one) == sorted(s.image_id for s in sources)
    whole = [tuple(sources[i : i + 4]) for i in range(0, 23, 4)]
    for one in dealt:
        for start in range(0, len(one), 4):
            assert tuple(one[start : start + 4]) in whole
    shares = [deal(sources, number=1, of=3, batch_size=size)[1].dealt for size in (4, 5)]
    assert shares[0] != shares[1]
