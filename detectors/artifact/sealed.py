"""A folder of files that is written whole or not at all, and read back unchanged or not at all.

One JSON document names every other file with its SHA-256 and carries its own checksum, so that no
byte of any of them can differ unnoticed. That is integrity, not trust: whoever can write the folder
can also seal it anew. What makes strangers' folders safe is that none of their bytes is ever run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

DOCUMENT: Final = "calibration.json"
"""The file that describes the folder."""

_OPEN: Final = "0" * 64
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\.(safetensors|skops)")
_DOCUMENT_BYTES: Final = 4 << 20
_FILE_BYTES: Final = 256 << 20


class ArtifactError(ValueError):
    """A calibration that cannot be used; the message states the rule, the value seen and why."""


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """What lies in such a folder.

    Attributes:
        document: the JSON document, without ``files`` and ``checksum``.
        files: the bytes of the other files by name: lower case, ``.safetensors`` or ``.skops``.
    """

    document: Mapping[str, Any]
    files: Mapping[str, bytes]


def seal(folder: Path, sealed: Sealed) -> None:
    """Write the folder, in place of an older one of the kind.

    Everything is written beside it first and put in its place at the end.

    Raises:
        ArtifactError: something else is in the way.
        OSError: the folder cannot be written.
    """
    folder = folder.absolute()
    other = _other(folder)
    if other:
        raise ArtifactError(
            f"A calibration may only replace another one, but {folder} holds {other!r}. Choose a "
            f"folder that is new or empty."
        )
    for name in sealed.files:
        _check_name(name)
    document = {
        **sealed.document,
        "files": {name: _hash(content) for name, content in sorted(sealed.files.items())},
        "checksum": _OPEN,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    raw = text.encode()
    raw = _with(raw, _OPEN, _hash(raw))
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        for name, content in {**sealed.files, DOCUMENT: raw}.items():
            _write(draft / name, content)
        draft.chmod(0o755)
        _put(draft, folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def unseal(folder: Path, *, version: int) -> Sealed:
    """Read the folder, if every byte is as it was written.

    Args:
        folder: with a ``calibration.json``.
        version: the newest ``schema_version`` that the caller understands.

    Raises:
        ArtifactError: a file is missing, damaged, too large or oddly named, or the document is
            none, or newer than ``version``.
    """
    path = folder / DOCUMENT
    raw = _read(path, _DOCUMENT_BYTES)
    try:
        document = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise _damaged(path, f"it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise _damaged(path, f"it holds a {type(document).__name__}, not an object")
    seen = document.get("schema_version")
    if not isinstance(seen, int) or isinstance(seen, bool) or seen < 1:
        raise _damaged(path, f"its schema_version is {seen!r}, not a number from 1 on")
    if seen > version:
        raise ArtifactError(
            f"Calibrations up to schema version {version} can be read, {path} has version {seen}. "
            f"It was written by a newer sightline: upgrade with pip install -U sightline."
        )
    checksum = document.pop("checksum", None)
    if not isinstance(checksum, str) or not _HASH.fullmatch(checksum):
        raise _damaged(path, f"its checksum is {checksum!r}, not 64 hexadecimal digits")
    if _hash(_with(raw, checksum, _OPEN)) != checksum:
        raise _damaged(path, "its content is not what its checksum says")
    listed = document.pop("files", None)
    if not isinstance(listed, dict):
        raise _damaged(path, f"its files are {listed!r}, not an object of names and hashes")
    files: dict[str, bytes] = {}
    for name, expected in listed.items():
        _check_name(name)
        content = _read(folder / name, _FILE_BYTES)
        if _hash(content) != expected:
            raise _damaged(folder / name, "its SHA-256 is not the one in calibration.json")
        files[name] = content
    return Sealed(document, files)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ArtifactError(
            f"A calibration's files must lie in its folder and be called like "
            f"'arrays.safetensors' or 'estimator.skops', one is called {name!r}. Do not use this "
            f"calibration: fit one yourself, or ask for a sound copy."
        )


def _read(path: Path, most: int) -> bytes:
    try:
        if not path.is_file():
            raise ArtifactError(
                f"A calibration needs the file {path}, it is not there. Give the folder that "
                f"`sightline calibrate fit --out` wrote, with all its files."
            )
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ArtifactError(
            f"A calibration's files must be readable, {path} is not: {error}."
        ) from error
    if len(content) > most:
        raise ArtifactError(
            f"{path.name} may have at most {most >> 20} MiB, {path} has more. No calibration "
            f"needs that much: do not use it."
        )
    return content


def _damaged(path: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"A calibration's files must be as they were written, {path} is not: {why}. Copy the "
        f"folder anew from where it came, or fit it again with `sightline calibrate fit`."
    )


def _with(raw: bytes, old: str, new: str) -> bytes:
    """The document with another checksum, which is the last thing in it."""
    before, _, after = raw.rpartition(old.encode())
    return before + new.encode() + after


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _other(folder: Path) -> str:
    """Something in the folder's place that is no part of a calibration, if there is anything."""
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir())
        strange = [name for name in names if name != DOCUMENT and not _NAME.fullmatch(name)]
        if strange:
            return strange[0]
        # Arrays alone may be somebody's weights.
        return "" if not names or DOCUMENT in names else names[0]
    return "a file" if folder.exists() else ""


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _put(draft: Path, folder: Path) -> None:
    """Put a finished folder in its place; the old one comes back if that fails."""
    if not folder.exists():
        draft.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
    folder.rename(old / "old")
    try:
        draft.rename(folder)
    except BaseException:
        (old / "old").rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
