"""What ``table.json`` says: what the mentions of a calibration table have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from ...monitor.errors import SightlineError
from .columns import CAPTIONS, MENTIONS

FORMAT: Final = "sightline-calibration-table"
VERSION: Final = 1
HEADER: Final = "table.json"
_LIBRARIES: Final = ("sightline", "torch", "transformers")


class TableError(SightlineError, ValueError):
    """A calibration table that cannot be read, continued or merged."""


@dataclass(frozen=True, slots=True)
class TableInfo:
    """What the mentions of a table have in common.

    Attributes:
        model: name or folder that the model was loaded from.
        revision: commit or content hash of its weights; empty if unknown.
        architecture: class of the model.
        num_layers: decoder layers of the model.
        num_heads: attention heads of each.
        prompt: the question.
        settings: options given to ``generate``, as in reports.
        lexicon: name of the lexicon that found the objects.
        annotations: SHA-256 of the annotations file.
        lens: whether internal confidence and contributions were recorded.
    """

    model: str
    revision: str
    architecture: str
    num_layers: int
    num_heads: int
    prompt: str
    settings: dict[str, object]
    lexicon: str
    annotations: str
    lens: bool

    def differences(self, other: TableInfo) -> tuple[str, ...]:
        """What is not the same, each as a short text, this one's value first."""
        return tuple(
            f"{field.name}: {_short(getattr(self, field.name))} and "
            f"{_short(getattr(other, field.name))}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        )


@dataclass(frozen=True, slots=True)
class Share:
    """Which images a folder was to hold.

    Attributes:
        number: which share of them, from 1.
        of: how many shares there are.
        images: how many images there are in all shares together.
        dealt: SHA-256 of how they were dealt out, batch by batch: shares that were dealt from
            other images, or in batches of another size, would overlap and leave gaps.
    """

    number: int = 1
    of: int = 1
    images: int = 0
    dealt: str = ""


@dataclass(frozen=True, slots=True)
class TableHeader:
    """What ``table.json`` says.

    Attributes:
        info: what the mentions have in common.
        layers: the decoder layers watched, counted from 0, ascending.
        share: which images were to be captioned.
        finished: whether all of them were.
    """

    info: TableInfo
    layers: tuple[int, ...]
    share: Share = Share()
    finished: bool = False

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps(
            {
                "format": FORMAT,
                "version": VERSION,
                "info": asdict(self.info),
                "layers": list(self.layers),
                "share": asdict(self.share),
                "finished": self.finished,
                "columns": {"mentions": MENTIONS, "captions": CAPTIONS},
                "written_by": dict(_versions()),
            },
            indent=1,
            ensure_ascii=False,
        )

    @property
    def kind(self) -> str:
        """SHA-256 of what a part must share with the table: each part carries it."""
        shared = json.dumps([asdict(self.info), list(self.layers)], sort_keys=True)
        return hashlib.sha256(shared.encode()).hexdigest()


def read_header(folder: Path) -> TableHeader:
    """What the table in a folder is.

    Raises:
        TableError: there is none, or it is damaged or of another format or version.
    """
    path = folder / HEADER
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TableError(
            f"A calibration table is a folder with {HEADER}, {folder} has none. "
            f"sightline calibrate collect makes one."
        ) from error
    except (OSError, ValueError) as error:
        raise TableError(f"{path} cannot be read: {error}. Collect the table again.") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TableError(f"{path} does not say that it is a {FORMAT}. Is it the right folder?")
    if data.get("version") != VERSION:
        raise TableError(
            f"{path} is of version {data.get('version')!r}, this sightline reads version "
            f"{VERSION}. Read it with the sightline that wrote it: "
            f"{data.get('written_by', {}).get('sightline', 'a later one')}."
        )
    try:
        return TableHeader(
            info=TableInfo(**data["info"]),
            layers=tuple(map(int, data["layers"])),
            share=Share(**data["share"]),
            finished=bool(data["finished"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise TableError(
            f"{path} lacks or adds an entry: {error!r}. It was changed by hand: collect again."
        ) from error


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _versions() -> Iterator[tuple[str, str]]:
    for library in _LIBRARIES:
        try:
            yield library, version(library)
        except PackageNotFoundError:  # run from a source tree
            yield library, "unknown"
