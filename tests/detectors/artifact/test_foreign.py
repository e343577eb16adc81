"""Estimators that are not ours: by skops from a fixed list, by joblib at one's own risk alone."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sightline.detectors.artifact.folder import ESTIMATOR, load_joblib
from sightline.detectors.artifact.foreign import from_skops, to_skops
from sightline.detectors.artifact.sealed import ArtifactError
from sightline.detectors.calibrated import CalibratedDetector
from sightline.detectors.classifiers.wrapped import WrappedClassifier
from sightline.detectors.detector import Detector
from sightline.detectors.extras import remedy
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler

from ..calibrations import calibrated, one_by_one
from ..synthetic import images, labels, mentions
from .test_folder import resealed

skops = pytest.importorskip("skops.io")

DATA = np.random.default_rng(0).normal(size=(90, 4))
TRUTH = (DATA[:, 0] > 0).astype(int)


def wrapped(estimator: Any) -> CalibratedDetector:
    """A calibration whose classifier is scikit-learn's own."""
    scorer = Detector("mine", ("position", "var"), WrappedClassifier(estimator))
    fitted = scorer.fit(mentions(160), labels(160), images(160))
    return replace(calibrated(), scorer=fitted, name="mine")


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()),
        make_pipeline(QuantileTransformer(n_quantiles=20), LogisticRegression(max_iter=500)),
        GaussianNB(),
    ],
)
def test_ones_own_classifier_travels(estimator: Any, tmp_path: Path) -> None:
    """Fitted, saved with a file of its own, loaded, the same to the last bit."""
    ours = wrapped(estimator)
    ours.save(tmp_path / "artifact")
    assert (tmp_path / "artifact" / ESTIMATOR).is_file()
    theirs = CalibratedDetector.load(tmp_path / "artifact")
    mine = one_by_one(mentions(20, seed=3))
    assert theirs.judge(mine) == ours.judge(mine)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.crater),))


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (HistGradientBoostingClassifier(max_iter=2), "HistGradientBoostingClassifier"),
        (RandomForestClassifier(2), "RandomForestClassifier"),
        (make_pipeline(FunctionTransformer(np.tanh), GaussianNB()), "FunctionTransformer"),
    ],
)
def test_other_types_are_refused(estimator: Any, named: str) -> None:
    """Compiled code that trusts its tables, and functions: neither written nor read."""
    estimator.fit(DATA, TRUTH)
    with pytest.raises(ArtifactError, match=named):
        to_skops(estimator)
    with pytest.raises(ArtifactError, match=named):
        from_skops(skops.dumps(estimator))


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A skops file whose schema somebody has changed."""
    out = io.BytesIO()
    data = skops.dumps(GaussianNB().fit(DATA, TRUTH))
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "schema.json":
                schema = json.loads(content)
                change(schema)
                content = json.dumps(schema).encode()
            new.writestr(entry.filename, content)
    return out.getvalue()


def _nest(schema: dict[str, Any]) -> None:
    inner: Any = 1
    for _ in range(200):
        inner = [inner]
    schema["content"] = inner


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(__module__="os", __class__="system"), "os.system"),
        (lambda s: s.update(__loader__="FunctionNode"), "FunctionNode"),
        (lambda s: s.update(__class__=["GaussianNB"]), "built"),
        (_nest, "nested deeper"),
    ],
)
def test_a_strangers_file_names_nothing_but_the_list(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    """A type, or a way of loading it, that is not on the list: refused before anything is built."""
    with pytest.raises(ArtifactError, match=message):
        from_skops(edited(change))


def test_a_file_that_would_fill_the_memory_is_not_unpacked() -> None:
    """What it unpacks to is looked at first."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"0" * (65 << 20))
    with pytest.raises(ArtifactError, match="unpacks to 65 MiB"):
        from_skops(out.getvalue())


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    """A skops file with flipped or missing bytes: an ArtifactError, or an estimator of the list."""
    content = bytearray(to_skops(GaussianNB().fit(DATA, TRUTH)))
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    try:
        found = from_skops(bytes(content))
    except ArtifactError:
        return
    assert isinstance(found, GaussianNB)


def test_an_artifact_is_no_way_around_the_list(tmp_path: Path) -> None:
    """A sealed folder with another estimator in it is refused all the same."""
    folder = tmp_path / "artifact"
    wrapped(GaussianNB()).save(folder)
    raw = skops.dumps(RandomForestClassifier(2).fit(DATA, TRUTH))
    (folder / ESTIMATOR).write_bytes(raw)
    resealed(folder, lambda d: d["files"].update({ESTIMATOR: hashlib.sha256(raw).hexdigest()}))
    with pytest.raises(ArtifactError, match="RandomForestClassifier"):
        CalibratedDetector.load(folder)
    resealed(folder, lambda d: d["files"].pop(ESTIMATOR))
    with pytest.raises(ArtifactError, match="its files are"):
        CalibratedDetector.load(folder)


def test_without_skops_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with the extra."""
    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(ArtifactError, match=re.escape(remedy("calibration"))):
        to_skops(GaussianNB().fit(DATA, TRUTH))


def test_joblib_files_are_not_opened(tmp_path: Path) -> None:
    """Not by default, not by the artifact; only in so many words, and then with a warning."""
    file, crater = tmp_path / "calibration.joblib", tmp_path / "crater"
    joblib.dump(Bomb(crater), file)
    with pytest.raises(ArtifactError, match="runs the code that is in it"):
        load_joblib(file)
    assert not crater.exists()
    with (
        pytest.warns(UserWarning, match="Running whatever code"),
        pytest.raises(ArtifactError, match="must hold a CalibratedDetector"),
    ):
        load_joblib(file, trust_code=True)
    assert crater.exists(), "the bomb works, or this test shows nothing"


def test_ones_own_joblib_file_can_be_imported(tmp_path: Path) -> None:
    """What was dumped is what comes back."""
    ours = calibrated()
    joblib.dump(ours, tmp_path / "mine.joblib")
    with pytest.warns(UserWarning, match="joblib files are programs"):
        theirs = load_joblib(tmp_path / "mine.joblib", trust_code=True)
    mine = one_by_one(mentions(5))
    assert theirs.judge(mine) == ours.judge(mine)
