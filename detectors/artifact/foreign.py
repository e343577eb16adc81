"""scikit-learn's own estimators as bytes: written and read with skops, from a fixed list of types.

A ``.skops`` file names the types that it wants built. Which those may be is fixed here, and not
left to the file: transformers and models whose prediction is plain arithmetic on arrays. Trees,
nearest neighbours and support vectors are not among them: their compiled code trusts its tables,
and a table made for the purpose reads wherever it likes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from ..extras import remedy
from .sealed import ArtifactError

ESTIMATORS: Final = frozenset(
    {
        "sklearn.decomposition._pca.PCA",
        "sklearn.discriminant_analysis.LinearDiscriminantAnalysis",
        "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.naive_bayes.GaussianNB",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.MinMaxScaler",
        "sklearn.preprocessing._data.PowerTransformer",
        "sklearn.preprocessing._data.QuantileTransformer",
        "sklearn.preprocessing._data.RobustScaler",
        "sklearn.preprocessing._data.StandardScaler",
    }
)
"""The estimators that may travel, alone or in a pipeline."""

_PLAIN: Final = frozenset(
    {
        *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str", "tuple")),
        *(f"numpy.{name}" for name in ("bool", "dtype", "float32", "float64", "int32", "int64")),
        "numpy.ndarray",
    }
)
_LOADERS: Final = frozenset(
    {f"{kind}Node" for kind in ("Dict", "Json", "List", "NdArray", "Object", "Tuple", "Type")}
)
_BYTES: Final = 64 << 20
_DEPTH: Final = 100


def to_skops(estimator: Any) -> bytes:
    """A fitted estimator as the bytes of a ``.skops`` file.

    Raises:
        ArtifactError: it is made of types that may not travel, or skops is not installed.
    """
    data: bytes = _skops().dumps(estimator)
    _check(data)
    return data


def from_skops(data: bytes) -> Any:
    """The estimator in the bytes of a ``.skops`` file, if it is made of the fixed types alone.

    Raises:
        ArtifactError: it is not, or it is no such file, or skops is not installed.
    """
    skops = _skops()
    _check(data)
    try:
        return skops.loads(data, trusted=[])
    except Exception as error:  # whatever strange values make of skops and scikit-learn
        raise _refused(f"{type(error).__name__}: {error}") from error


def _check(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > _BYTES:
                raise _refused(f"it unpacks to {size >> 20} MiB, more than {_BYTES >> 20}")
            schema = json.loads(archive.read("schema.json"))
        found = set(_types(schema))
    except ArtifactError:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RuntimeError, EOFError) as error:
        raise _refused(f"it is no skops file ({error})") from error
    foreign = sorted(
        {name for name, _ in found} - ESTIMATORS - _PLAIN
        | {f"{name} ({loader})" for name, loader in found if loader not in _LOADERS}
    )
    if foreign:
        raise _refused(f"it wants {', '.join(foreign)} built")


def _types(node: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every type that a skops schema names, and what is to load it."""
    if depth > _DEPTH:
        raise _refused(f"it is nested deeper than {_DEPTH}")
    if isinstance(node, dict):
        if "__loader__" in node or "__class__" in node:
            name = f"{node.get('__module__')}.{node.get('__class__')}"
            yield name, str(node.get("__loader__"))
        for value in node.values():
            yield from _types(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _types(value, depth + 1)


def _refused(why: str) -> ArtifactError:
    return ArtifactError(
        f"An estimator may travel if it is made of scikit-learn's "
        f"{', '.join(sorted(name.rpartition('.')[2] for name in ESTIMATORS))} alone, this one is "
        f"not: {why}. Use one of those, or a detector of this package; do not use a stranger's "
        f"file that asks for more."
    )


def _skops() -> ModuleType:
    try:
        from skops import io as found
    except ImportError as error:
        raise ArtifactError(
            f"An estimator of scikit-learn's own needs skops to be saved or loaded, which is not "
            f"installed: {remedy('calibration')}"
        ) from error
    module: ModuleType = found
    return module
