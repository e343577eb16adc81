"""A calibration as a folder: ``calibration.json`` and ``arrays.safetensors``.

An estimator of scikit-learn's own, which only :class:`~.wrapped.WrappedClassifier` has, lies beside
them as ``estimator.skops``. Safe with files from strangers: JSON and arrays hold no code, the
classes that may be built are named in fixed lists, and every byte is checked. What reading costs is
bounded too.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import numpy as tensors

from ..bands import Band, Bands
from ..calibrated import CalibratedDetector
from ..certificate import Certificate
from ..classifiers.wrapped import WrappedClassifier
from ..conditions import Conditions, ModelIdentity
from ..detector import Detector
from ..evidence import SEGMENTS, Evidence
from ..guarantee import Guarantee
from ..mentions import MentionEvidence
from ..probability import ProbabilityMap
from ..svar import LayerRange
from .document import (
    VERSION,
    BandSection,
    BandsSection,
    DetectorSection,
    Document,
    GuaranteeSection,
    LayersSection,
    ModelSection,
    PolicySection,
    ProbabilitySection,
)
from .sealed import DOCUMENT, ArtifactError, Sealed, seal, unseal

ARRAYS: Final = "arrays.safetensors"
ESTIMATOR: Final = "estimator.skops"

_SKOPS: Final = "skops_"  # the array that is a file of its own
_LIBRARIES: Final = ("sightline", "numpy", "scikit-learn", "safetensors")


def save(calibrated: CalibratedDetector, folder: Path) -> None:
    """Write a calibration into a folder, whole or not at all.

    Raises:
        ArtifactError: something else lies in the folder.
        OSError: it cannot be written.
    """
    known, arrays = calibrated.scorer.state()
    promise, conditions = calibrated.guarantee, calibrated.conditions
    certificate = calibrated.certificate
    document = Document(
        name=calibrated.name,
        created=calibrated.created,
        model=ModelSection(**asdict(conditions.model)),
        prompt=conditions.prompt,
        settings=dict(conditions.settings),  # type: ignore[arg-type]  # pydantic checks the values
        lexicon=conditions.lexicon,
        table=conditions.table,
        detector=DetectorSection(**known, timing=calibrated.timing),
        layers=None if calibrated.layers is None else LayersSection(**asdict(calibrated.layers)),
        probability=ProbabilitySection(
            scores=calibrated.map.scores.tolist(), log_odds=calibrated.map.log_odds.tolist()
        ),
        threshold=calibrated.threshold,
        guarantee=(
            None if promise is None else GuaranteeSection(**asdict(promise), words=str(promise))
        ),
        scope=calibrated.scope,
        policy=(
            None
            if certificate is None
            else PolicySection(**asdict(certificate), words=str(certificate))
        ),
        bands=_bands_section(calibrated.bands),
        notes=list(calibrated.notes),
        versions=dict(calibrated.versions) or _versions(),
    )
    files: dict[str, bytes] = {}
    if _SKOPS in arrays:
        files[ESTIMATOR] = arrays.pop(_SKOPS).tobytes()
    whole = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    files[ARRAYS] = tensors.save(whole)
    # A calibration without a policy or bands reads as one of before there were any.
    optional = {"policy": certificate, "bands": calibrated.bands}
    left_out = {name for name, value in optional.items() if value is None}
    seal(folder, Sealed(document.model_dump(mode="json", exclude=left_out), files))


def load(folder: Path) -> CalibratedDetector:
    """Read a calibration from a folder; no code that it may bring along is run.

    Raises:
        ArtifactError: a file is missing, damaged, too large or foreign, or the calibration is
            newer than this package.
    """
    sealed = unseal(folder, version=VERSION)
    try:
        document = Document.model_validate(sealed.document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _foreign(folder, f"field {where!r}: {first['msg']}") from error
    expected = {ARRAYS}
    if document.detector.estimator.get("class") == WrappedClassifier.__name__:
        expected.add(ESTIMATOR)
    if set(sealed.files) != expected:
        raise _foreign(folder, f"its files are {sorted(sealed.files)} and not {sorted(expected)}")
    try:
        arrays = tensors.load(sealed.files[ARRAYS])
        if ESTIMATOR in expected:
            arrays[_SKOPS] = np.frombuffer(sealed.files[ESTIMATOR], dtype=np.uint8)
        calibrated = _calibrated(document, arrays)
        # Arrays of wrong shapes show when they are used: now, and not in the middle of a caption.
        calibrated.judge([_nothing(calibrated)])
    except ArtifactError:
        raise
    except Exception as error:  # whatever a stranger's values make of our classes is theirs
        raise _foreign(folder, f"{type(error).__name__}: {error}") from error
    return calibrated


def load_joblib(path: str | Path, *, trust_code: bool = False) -> CalibratedDetector:
    """Import a calibration that was dumped with joblib. **Runs whatever code is in the file.**

    For files of one's own that were never saved as a folder; save what this returns.

    Args:
        path: the file.
        trust_code: say True if you wrote the file yourself, or would run its author's programs.

    Raises:
        ArtifactError: without ``trust_code``, or if there is something else in the file.
        OSError: it cannot be read.
    """
    if not trust_code:
        raise ArtifactError(
            f"A joblib file runs the code that is in it, so {path} is not opened. Ask for a folder "
            f"that CalibratedDetector.save wrote; or, if the file is your own, "
            f"load_joblib(path, trust_code=True)."
        )
    import joblib

    warnings.warn(
        f"Running whatever code is in {path}: joblib files are programs. Save the calibration as a "
        f"folder with CalibratedDetector.save, and use that from now on.",
        stacklevel=2,
    )
    found = joblib.load(path)
    if not isinstance(found, CalibratedDetector):
        raise ArtifactError(
            f"The file must hold a CalibratedDetector, {path} holds a {type(found).__name__}. Its "
            f"code has run already."
        )
    return found


def _calibrated(document: Document, arrays: Mapping[str, npt.NDArray[Any]]) -> CalibratedDetector:
    known = document.detector.model_dump(exclude={"timing"})
    promise, over, certified = document.guarantee, document.layers, document.policy
    return CalibratedDetector(
        Detector.from_state(known, arrays),
        ProbabilityMap(
            np.array(document.probability.scores, dtype=np.float64),
            np.array(document.probability.log_odds, dtype=np.float64),
        ),
        document.threshold,
        None if promise is None else Guarantee(**promise.model_dump(exclude={"words"})),
        Conditions(
            ModelIdentity(**document.model.model_dump()),
            document.prompt,
            document.settings,
            document.lexicon,
            document.table,
        ),
        name=document.name,
        layers=None if over is None else LayerRange(**over.model_dump()),
        scope=document.scope,
        notes=tuple(document.notes),
        created=document.created,
        versions=document.versions,
        certificate=(
            None if certified is None else Certificate(**certified.model_dump(exclude={"words"}))
        ),
        bands=_bands(document.bands),
    )


def _bands_section(bands: Bands | None) -> BandsSection | None:
    if bands is None:
        return None
    real, hallucinated = (
        BandSection(low=list(band.low), median=list(band.median), high=list(band.high))
        for band in (bands.real, bands.hallucinated)
    )
    return BandsSection(
        layers=list(bands.layers), share=bands.share, real=real, hallucinated=hallucinated
    )


def _bands(section: BandsSection | None) -> Bands | None:
    if section is None:
        return None
    real, hallucinated = (
        Band(tuple(band.low), tuple(band.median), tuple(band.high))
        for band in (section.real, section.hallucinated)
    )
    return Bands(tuple(section.layers), section.share, real, hallucinated)


def _nothing(calibrated: CalibratedDetector) -> MentionEvidence:
    """A mention about which everything is known and nothing is remarkable."""
    layers, heads = calibrated.watched, calibrated.conditions.model.num_heads
    masses = np.full((len(layers), heads, len(SEGMENTS)), 1 / len(SEGMENTS), dtype=np.float32)
    added = np.zeros(len(layers), dtype=np.float32)
    row = Evidence(layers, masses, -1.0, 1.0, 1.0, 0.5, added)
    return MentionEvidence(None, 0, 0, 0, row, row)


def _foreign(folder: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"{folder / DOCUMENT} must describe a calibration as `sightline calibrate fit` writes "
        f"them, it does not: {why.rstrip('. ')}. Fit it again with this version, or ask for a "
        f"sound copy."
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # run from a source tree that was never installed
    return found
