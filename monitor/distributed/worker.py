"""What runs in a worker: one model, loaded once, and the tables of work that Ray Data hands it.

A model that cannot be loaded is told when the first table comes: what is raised while a worker is
being made, Ray would take for an accident, and make it again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from ..errors import ClusterError, SightlineError
from .captioning import Captioning, Introduction

if TYPE_CHECKING:
    from ..cli.captioner import Captioner
    from ..report import Failure, Report


class Worker:
    """Loads what captions, and keeps it.

    Args:
        captioning: how captions are made.

    Attributes:
        refused: why there is nothing that captions, if so.
    """

    def __init__(self, captioning: Captioning) -> None:
        self.refused: SightlineError | None = None
        self._smaller: list[int] = []
        try:
            self._captioner, self._introduction = captioning.load(on_smaller=self._smaller.append)
        except SightlineError as error:
            self.refused = error
        except Exception as error:  # whatever it is, no caption comes of it
            self.refused = ClusterError(f"A worker cannot begin: {type(error).__name__}: {error}")

    @property
    def captioner(self) -> Captioner:
        """What captions.

        Raises:
            SightlineError: whatever kept it from being loaded.
        """
        if self.refused is not None:
            raise self.refused
        if self._captioner.lost is not None:
            # Nothing in this process can use the device any more. Ray makes another process and
            # hands it this table; those before it are recorded.
            os._exit(1)
        return self._captioner


class PartWorker(Worker):
    """Captions parts of a job: rows with a number, paths, and which of them have their record.

    The row before all others has no paths; its answer is the worker's introduction.

    Args:
        captioning: how captions are made.
        batch_size: images captioned at once.
        folder: where the job was started: relative paths mean the same here.
    """

    def __init__(self, captioning: Captioning, batch_size: int, folder: str) -> None:
        self._batch_size = batch_size
        os.chdir(folder)
        super().__init__(captioning)

    def __call__(self, table: Any) -> Any:
        """A ``pyarrow.Table`` of parts: their records as JSON, in order, and what to tell."""
        import pyarrow as pa

        rows = [self._answer(row) for row in table.to_pylist()]
        return pa.Table.from_pylist(
            rows,
            schema=pa.schema(
                {
                    "number": pa.int64(),
                    "refused": pa.string(),
                    "introduction": pa.string(),
                    "records": pa.list_(pa.string()),
                    "smaller": pa.list_(pa.int64()),
                }
            ),
        )

    def _answer(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.refused is not None:
            return {"number": row["number"], "refused": str(self.refused)}
        captioner, files = self.captioner, [Path(path) for path in row["paths"]]
        introduction = None
        if not files:
            introduction = TypeAdapter(Introduction).dump_json(self._introduction).decode()
        records: list[Report | Failure] = []
        for finished in captioner.finished(files, row["done"], self._batch_size):
            records += finished
            if captioner.lost is not None:
                records = _completed(records, files, row["done"], captioner.lost)
                break
        smaller, self._smaller[:] = self._smaller[:], []
        return {
            "number": row["number"],
            "introduction": introduction,
            "records": [record.to_json() for record in records],
            "smaller": smaller,
        }


class ImageWorker(Worker):
    """Captions images that are rows of anybody's dataset.

    Args:
        captioning: how captions are made.
        column: paths of images, or what is in their files.
        names: with what reports call the images whose bytes are given; ``None`` to number them.
    """

    def __init__(self, captioning: Captioning, column: str, names: str | None) -> None:
        self._column = column
        self._names = names
        super().__init__(captioning)

    def __call__(self, table: Any) -> Any:
        """A ``pyarrow.Table`` with the same rows, plus their ``report`` and its ``kind``."""
        import pyarrow as pa

        from ..cli.captioner import Content

        values = table.column(self._column).to_pylist()
        names = values if self._names is None else table.column(self._names).to_pylist()
        sources = [
            Content(name if isinstance(name, str) else "image", value)
            if isinstance(value, bytes)
            else Path(value)
            for value, name in zip(values, names, strict=True)
        ]
        records = self.captioner.records(sources)
        if pa.types.is_binary(table.schema.field(self._column).type):
            table = table.drop_columns([self._column])
        table = table.append_column("kind", pa.array([record.kind for record in records]))
        return table.append_column("report", pa.array([record.to_json() for record in records]))


def _completed(
    records: Sequence[Report | Failure],
    files: Sequence[Path],
    done: Sequence[int],
    lost: Exception,
) -> list[Report | Failure]:
    """A part's records, with a failure for each image that the loss of the device left without."""
    from ..cli.captioner import failure

    waiting = Counter(str(file) for file, there in zip(files, done, strict=True) if not there)
    waiting.subtract(Counter(_path(record) for record in records))
    return [*records, *(failure(path, lost) for path in waiting.elements())]


def _path(record: Report | Failure) -> str:
    from ..report import Failure

    if isinstance(record, Failure):
        return record.image
    return "" if record.image is None else record.image.path
