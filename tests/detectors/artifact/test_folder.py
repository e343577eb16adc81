"""A calibration in a folder: it comes back as it went, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import numpy as tensors
from sightline.detectors.artifact.document import schema
from sightline.detectors.artifact.folder import ARRAYS
from sightline.detectors.artifact.sealed import DOCUMENT, ArtifactError
from sightline.detectors.bands import Band, Bands
from sightline.detectors.calibrated import CalibratedDetector
from sightline.detectors.certificate import Left
from sightline.detectors.named import DETECTORS
from sightline.detectors.probability import ProbabilityMap

from ..calibrations import calibrated, certificate, one_by_one
from ..synthetic import mentions

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibration. Tests copy it."""
    folder = tmp_path_factory.mktemp("saved") / "artifact"
    calibrated().save(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """A folder of one's own."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def resealed(folder: Path, change: Change) -> None:
    """Change the document as somebody would who knows how it is sealed."""
    document = json.loads((folder / DOCUMENT).read_text())
    change(document)
    document["checksum"] = "0" * 64
    raw = (json.dumps(document) + "\n").encode()
    before, zeros, after = raw.rpartition(b"0" * 64)
    assert zeros
    whole = before + hashlib.sha256(raw).hexdigest().encode() + after
    (folder / DOCUMENT).write_bytes(whole)


@pytest.mark.parametrize("name", DETECTORS)
def test_what_was_saved_is_what_is_loaded(name: str, tmp_path: Path) -> None:
    """Every field, and every judgement to the last bit."""
    ours = calibrated(name)
    ours.save(tmp_path / "artifact")
    theirs = CalibratedDetector.load(tmp_path / "artifact")
    mine = one_by_one(mentions(20, seed=3))
    assert theirs.judge(mine) == ours.judge(mine)
    for field in ("threshold", "guarantee", "conditions", "name", "layers", "scope", "notes"):
        assert getattr(theirs, field) == getattr(ours, field), field
    assert theirs.created == ours.created
    assert (theirs.timing, theirs.watched, theirs.lens) == (ours.timing, ours.watched, ours.lens)
    assert {"sightline", "numpy", "scikit-learn"} <= set(theirs.versions)


@given(
    knots=st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3)),
        min_size=2,
        max_size=6,
        unique_by=(lambda knot: knot[0], lambda knot: knot[1]),
    ),
    threshold=st.none() | st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_numbers_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    knots: list[tuple[float, float]],
    threshold: float | None,
) -> None:
    """A threshold that moved by one bit would not be the one that was tested."""
    scores, odds = (np.array(sorted(column)) for column in zip(*knots, strict=True))
    ours = calibrated(map=ProbabilityMap(scores, odds), threshold=threshold, guarantee=None)
    folder = tmp_path_factory.mktemp("exact") / "artifact"
    ours.save(folder)
    theirs = CalibratedDetector.load(folder)
    assert theirs.threshold == threshold
    assert np.array_equal(theirs.map.scores, scores)
    assert np.array_equal(theirs.map.log_odds, odds)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_no_bit_may_flip(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whichever bit of whichever file differs: refused, never another error, never silence."""
    folder = _copied(saved, tmp_path_factory)
    file = folder / data.draw(st.sampled_from([DOCUMENT, ARRAYS]))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    with pytest.raises(ArtifactError):
        CalibratedDetector.load(folder)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_file_may_be_cut_or_grow(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A copy that was interrupted, or went on too long, is refused."""
    folder = _copied(saved, tmp_path_factory)
    file = folder / data.draw(st.sampled_from([DOCUMENT, ARRAYS]))
    content = file.read_bytes()
    if data.draw(st.booleans()):
        file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        file.write_bytes(content + data.draw(st.binary(min_size=1, max_size=9)))
    with pytest.raises(ArtifactError):
        CalibratedDetector.load(folder)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_strangers_document_is_no_danger(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any value of any field, sealed anew: it loads and judges, or it is refused."""
    folder = _copied(saved, tmp_path_factory)
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )

    def change(document: dict[str, Any]) -> None:
        inner: Any = document
        key = data.draw(st.sampled_from(sorted(inner)))
        while isinstance(inner[key], dict) and inner[key] and data.draw(st.booleans()):
            inner = inner[key]
            key = data.draw(st.sampled_from(sorted(inner)))
        inner[key] = data.draw(values)

    try:
        resealed(folder, change)
    except (UnicodeEncodeError, AssertionError, ValueError):
        return  # not a document that a file could hold
    try:
        found = CalibratedDetector.load(folder)
    except ArtifactError:
        return
    judged = found.judge(one_by_one(mentions(2)))
    assert all(j.probability is None or 0 <= j.probability <= 1 for j in judged)


_WAYS = (
    *("nan", "inf", "zero", "negative", "huge"),
    *("cut", "grown", "flat", "reversed", "empty", "bytes", "half"),
)


def _artifact(name: str, base: Path) -> Path:
    """A folder with that detector's calibration, written once."""
    folder = base / f"whole-{name}"
    if not folder.exists():
        calibrated(name).save(folder)
    return folder


def _odd(array: Any, how: str) -> Any:
    """The array as a stranger might have written it."""
    filled = {"nan": np.nan, "inf": np.inf, "zero": 0, "negative": -7, "huge": 2**31 - 1}
    if how in filled:
        floating = array.dtype.kind == "f" or filled[how] == filled[how] < np.inf
        return np.full(array.shape, filled[how], array.dtype if floating else np.float64)
    return {
        "cut": array.reshape(-1)[: array.size // 2].copy(),
        "grown": np.concatenate([array.reshape(-1)] * 2 + [np.ones(1, array.dtype)]),
        "flat": array.reshape(1, -1).copy(),
        "reversed": array[::-1].copy() if array.ndim else array.copy(),
        "empty": np.zeros((0, *array.shape[1:]), array.dtype),
        "bytes": np.zeros(array.shape, np.uint8),
        "half": array.astype(np.float16),
    }[how]


@given(
    name=st.sampled_from(["fused-naming", "heads-mlp"]),
    which=st.integers(0, 99),
    how=st.sampled_from(_WAYS),
)
@settings(max_examples=120, deadline=None)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_strangers_arrays_are_no_danger(
    tmp_path_factory: pytest.TempPathFactory, name: str, which: int, how: str
) -> None:
    """Any array replaced, sealed anew: it loads and judges, or it is refused."""
    folder = _copied(_artifact(name, tmp_path_factory.getbasetemp()), tmp_path_factory)
    arrays = tensors.load((folder / ARRAYS).read_bytes())
    chosen = sorted(arrays)[which % len(arrays)]
    raw = tensors.save({**arrays, chosen: _odd(arrays[chosen], how)})
    (folder / ARRAYS).write_bytes(raw)
    resealed(folder, lambda d: d["files"].update({ARRAYS: hashlib.sha256(raw).hexdigest()}))
    try:
        found = CalibratedDetector.load(folder)
    except ArtifactError:
        return
    judged = found.judge(one_by_one(mentions(12)))
    assert all(j.probability is None or 0 <= j.probability <= 1 for j in judged)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema_version=2), r"up to schema version 1 .* has version 2.*newer"),
        (lambda d: d.update(schema_version="1"), "schema_version is '1'"),
        (lambda d: d.pop("schema_version"), "schema_version is None"),
        (lambda d: d.update(surprise=1), "field 'surprise': Extra inputs"),
        (lambda d: d.pop("prompt"), "field 'prompt': Field required"),
        (lambda d: d.update(format="other"), "field 'format'"),
        (lambda d: d.update(threshold="0.4"), "field 'threshold'"),
        (lambda d: d.update(threshold=7.0), "field 'threshold'"),
        (lambda d: d["guarantee"].update(target="luck"), "field 'guarantee.target'"),
        (lambda d: d["detector"].update(features=["aura"]), "aura"),
        (lambda d: d["detector"]["estimator"].update({"class": "os.system"}), "os.system"),
        (lambda d: d["detector"].update(heads=99), "must describe a calibration"),
        (lambda d: d["detector"].update(heads=10**9), "field 'detector.heads'"),
        (lambda d: d["model"].update(num_heads=10**9), "field 'model.num_heads'"),
        (lambda d: d["detector"].update(layers=[0] * 10**6), "field 'detector.layers'"),
        (lambda d: d["detector"].update(features=["var"] * 10**4), "field 'detector.features'"),
        (lambda d: d["probability"].update(scores=[1.0, 1.0, 1.0]), "strictly ascending"),
        (lambda d: d["detector"]["estimator"]["parameters"].update(shell=True), "arguments"),
        (lambda d: d.update(files=[]), "not an object of names"),
        (lambda d: d.update(files={}), "its files are"),
        (lambda d: d["files"].update({"../../etc.safetensors": "0" * 64}), "must lie in its"),
        (lambda d: d["files"].update({"/etc/passwd": "0" * 64}), "must lie in its folder"),
        (lambda d: d["files"].update({"a\\b.skops": "0" * 64}), "must lie in its folder"),
        (lambda d: d["files"].update({"model.pkl": "0" * 64}), "must lie in its folder"),
        (lambda d: d["files"].update({"more.safetensors": "0" * 64}), "is not there"),
        (lambda d: d["files"].update({ARRAYS: 5}), "SHA-256"),
    ],
)
def test_what_is_wrong_is_named(copy: Path, change: Change, message: str) -> None:
    """A newer schema, unknown fields and kinds, values out of range, sizes that would fill the
    memory, paths that lead elsewhere."""
    resealed(copy, change)
    with pytest.raises(ArtifactError, match=f"(?s){message}"):
        CalibratedDetector.load(copy)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b"\xff\xfe", b'{"a": NaN}'])
def test_what_is_no_document_is_refused(copy: Path, content: bytes) -> None:
    """Whatever lies there in its place."""
    (copy / DOCUMENT).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"calibration\.json"):
        CalibratedDetector.load(copy)


@pytest.mark.parametrize("name", [DOCUMENT, ARRAYS])
def test_every_file_must_be_there(copy: Path, name: str) -> None:
    """The message names the missing one and the command that writes it."""
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name}, it is not there.*calibrate fit"):
        CalibratedDetector.load(copy)
    (copy / name).mkdir()
    with pytest.raises(ArtifactError, match=f"{name}, it is not there"):
        CalibratedDetector.load(copy)


def test_a_file_that_is_too_large_is_not_read(copy: Path) -> None:
    """No calibration fills the memory."""
    with (copy / DOCUMENT).open("r+b") as file:
        file.truncate(1 << 30)  # sparse: takes no space
    with pytest.raises(ArtifactError, match="at most 4 MiB"):
        CalibratedDetector.load(copy)


def test_arrays_must_fit_together(copy: Path) -> None:
    """Shapes that do not fit are found when loading, not in the middle of a caption."""
    arrays = tensors.load((copy / ARRAYS).read_bytes())
    name = next(name for name, array in arrays.items() if array.size > 1)
    raw = tensors.save({**arrays, name: np.ascontiguousarray(arrays[name][:-1])})
    (copy / ARRAYS).write_bytes(raw)
    resealed(copy, lambda d: d["files"].update({ARRAYS: hashlib.sha256(raw).hexdigest()}))
    with pytest.raises(ArtifactError, match="must describe a calibration"):
        CalibratedDetector.load(copy)


def test_saving_replaces_a_calibration_and_nothing_else(tmp_path: Path) -> None:
    """An old calibration gives way; a folder of something else does not."""
    folder = tmp_path / "artifact"
    calibrated(threshold=0.3).save(folder)
    calibrated(threshold=0.7).save(folder)
    assert CalibratedDetector.load(folder).threshold == 0.7
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]
    (folder / "notes.txt").write_text("Do not lose me")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_text("nor me")
    (tmp_path / "file").write_text("nor me")
    for name, found in (
        ("artifact", "notes.txt"),
        ("weights", "model.safetensors"),
        ("file", "a file"),
    ):
        with pytest.raises(ArtifactError, match=f"may only replace another one.*{found}"):
            calibrated().save(tmp_path / name)
    assert (folder / "notes.txt").is_file()
    assert (tmp_path / "weights" / "model.safetensors").is_file()


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_folder_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool, step: str
) -> None:
    """When the disk is full, what was there before is still there, and nothing else."""
    folder = tmp_path / "artifact"
    if old:
        calibrated(threshold=0.3).save(folder)

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        if step == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            rename = Path.rename
            patch.setattr(
                Path, "rename", lambda s, t: full() if s.suffix == ".part" else rename(s, t)
            )
        with pytest.raises(OSError, match="No space left"):
            calibrated(threshold=0.7).save(folder)
    assert [path.name for path in tmp_path.iterdir()] == (["artifact"] if old else [])
    if old:
        assert CalibratedDetector.load(folder).threshold == 0.3


def test_the_document_follows_its_schema(saved: Path) -> None:
    """What is written is valid, and strangers' additions are not."""
    document = json.loads((saved / DOCUMENT).read_text())
    jsonschema.validate(document, schema())
    assert document["guarantee"]["words"].startswith("With 90% confidence")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "surprise": 1}, schema())


@pytest.mark.parametrize("left", ["captions", "mentions"])
def test_a_certified_policy_is_kept(tmp_path: Path, left: Left) -> None:
    """All of it, exactly; where there is none the document is as it was before there were any."""
    most = 16 if left == "mentions" else None
    promised = certificate(left=left, most=most, policy={"act": "stop", "tries": [{"alpha": 2.0}]})
    calibrated().with_certificate(promised).save(tmp_path / "with")
    assert CalibratedDetector.load(tmp_path / "with").certificate == promised
    document = json.loads((tmp_path / "with" / DOCUMENT).read_text())
    jsonschema.validate(document, schema())
    assert document["policy"]["words"] == str(promised)
    calibrated().save(tmp_path / "without")
    assert CalibratedDetector.load(tmp_path / "without").certificate is None
    assert "policy" not in json.loads((tmp_path / "without" / DOCUMENT).read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 2.0}, "field 'policy.level'"),
        ({"left": "nothing"}, "field 'policy.left'"),
        ({"most": 3}, "must say how many of a caption count"),
        ({"images": 0}, "must rest on images"),
        ({"policy": "stop"}, "field 'policy.policy'"),
    ],
)
def test_a_policy_that_promises_nothing_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """A stranger's promise is read as strictly as the rest."""
    calibrated().with_certificate(certificate()).save(tmp_path / "artifact")
    resealed(tmp_path / "artifact", lambda d: d["policy"].update(change))
    with pytest.raises(ArtifactError, match=message):
        CalibratedDetector.load(tmp_path / "artifact")


def test_the_shipped_schema_is_current() -> None:
    """The file in the package is what the models say; `make schema` renews it."""
    shipped = files("sightline.monitor").joinpath("data", "schema", "calibration-v1.json")
    assert json.loads(shipped.read_text(encoding="utf-8")) == schema()


def _copied(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_bands_come_back_and_may_be_absent(tmp_path: Path) -> None:
    """They are as they were; without them a calibration reads as one of before there were any."""
    band = Band((0.1, 0.2), (0.3, 0.4), (0.5, 0.6))
    bands = Bands((0, 2), 0.8, band, Band((0.0, 0.0), (0.1, 0.1), (1.0, 1.0)))
    whole = calibrated().with_bands(bands)
    whole.save(tmp_path / "with")
    assert CalibratedDetector.load(tmp_path / "with").bands == bands
    document = json.loads((tmp_path / "with" / DOCUMENT).read_text())
    jsonschema.Draft202012Validator(schema()).validate(document)
    whole.with_bands(None).save(tmp_path / "without")
    assert "bands" not in json.loads((tmp_path / "without" / DOCUMENT).read_text())
    loaded = CalibratedDetector.load(tmp_path / "without")
    assert loaded.bands is None
    rows = one_by_one(mentions(20))
    assert loaded.judge(rows) == whole.judge(rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda bands: bands["real"]["low"].pop(),
        lambda bands: bands["real"].update(low=[0.9, 0.9]),
        lambda bands: bands.update(layers=[0, 77]),
        lambda bands: bands.update(layers=[2, 0]),
        lambda bands: bands["hallucinated"].update(high=[2.0, 2.0]),
    ],
)
def test_bands_of_strangers_are_checked(tmp_path: Path, change: Change) -> None:
    """Bands that are none, or of layers that the model has not, are refused with the rest."""
    band = Band((0.1, 0.2), (0.3, 0.4), (0.5, 0.6))
    calibrated().with_bands(Bands((0, 2), 0.8, band, band)).save(tmp_path / "artifact")
    resealed(tmp_path / "artifact", lambda document: change(document["bands"]))
    with pytest.raises(ArtifactError):
        CalibratedDetector.load(tmp_path / "artifact")
