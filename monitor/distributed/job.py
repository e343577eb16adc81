"""A long job as a Ray Data pipeline: parts of it go out, their records come back in order."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from ..errors import ClusterError, ModelError
from ..jobs.windows import AHEAD
from ..report import Failure, Report, parse_record
from .captioning import Captioning, Introduction
from .cluster import Workers, quiet_context, require_ray
from .worker import PartWorker

TOGETHER: Final = 8
"""Images that a worker is handed at once, at least: handing over costs some ten milliseconds."""

HANDFULS: Final = 4000
"""A job is divided into no more handfuls than about these: all of them are made as it begins."""

TRIES: Final = 3
"""So often images are handed out again whose worker died."""

_KEPT: Final = "What was finished before is kept; the same command goes on from there."


@dataclass(frozen=True, slots=True)
class Finished:
    """A part of the job that came back.

    Attributes:
        records: those that were not there yet, in the files' order.
        smaller: sizes of the batches, where there was no memory for larger ones.
    """

    records: tuple[Report | Failure, ...]
    smaller: tuple[int, ...]


def finished(
    files: Sequence[Path],
    done: Sequence[int],
    captioning: Captioning,
    *,
    workers: Workers,
    batch_size: int = 1,
) -> Generator[Introduction | Finished, None, None]:
    """Caption files with several workers, in the cluster that this process is in.

    Images are batched as they would be in one process, each part's records are what that process
    would have made, and they come in the files' order, however the workers' paces differ. What is
    ready before its turn waits in the cluster. A worker that dies is replaced, and its images are
    handed out again; no image's record comes twice.

    Args:
        files: as all workers can read them.
        done: of each file, 1 where its record is there already, else 0.
        captioning: how captions are made.
        workers: how many, and what each needs.
        batch_size: images captioned at once.

    Yields:
        first, what the workers say of themselves, before anything is captioned; then the parts.

    Raises:
        ModelError: the model cannot be had, or not in the way that is asked for.
        ClusterError: workers die or fail again and again.
    """
    ray = require_ray()
    wide = batch_size if batch_size == 1 else batch_size * AHEAD
    parts = [start for start in range(0, len(files), wide) if not all(done[start : start + wide])]
    count = max(1, min(workers.count, len(parts)))
    with ray.data.DataContext.current(quiet_context()), warnings.catch_warnings():
        # Ray 2.64 will have another way to say how often images of dead workers are handed out.
        warnings.filterwarnings("ignore", message=".*ray_remote_args_fn.* is deprecated")
        dataset = ray.data.from_arrow(
            [
                _table(files, done, [None]),
                *(
                    _table(files, done, [(at, at + wide) for at in some])
                    for some in _handfuls(parts, wide=wide, workers=count)
                ),
            ]
        ).map_batches(
            PartWorker,
            fn_constructor_args=(captioning, batch_size, os.getcwd()),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=2),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            ray_remote_args_fn=_patience,
        )
        expected = iter([-1, *parts])
        with closing(_rows(ray, dataset)) as rows:
            for row in rows:
                if row["number"] != next(expected, None):
                    raise ClusterError(
                        f"Parts must come back once and in order; {row['number']} came out of its "
                        f"turn. Nothing of it was kept: the same command goes on from there."
                    )
                if row["refused"] is not None:
                    raise ModelError(row["refused"])
                if row["introduction"] is not None:
                    yield TypeAdapter(Introduction).validate_json(row["introduction"])
                else:
                    records = tuple(parse_record(record) for record in row["records"])
                    yield Finished(records, tuple(row["smaller"]))
        if next(expected, None) is not None:
            raise ClusterError(
                "Every part must come back, but some did not. The same command goes on with them."
            )


def _patience() -> dict[str, Any]:
    """What Ray is told of workers that die: without it, it hands the same out for ever."""
    return {"max_restarts": -1, "max_task_retries": TRIES}


def _handfuls(parts: Sequence[int], *, wide: int, workers: int) -> Iterator[Sequence[int]]:
    """Parts that are handed out together: few enough for all workers to have some to the end."""
    together = max(math.ceil(TOGETHER / wide), math.ceil(len(parts) / HANDFULS))
    together = max(1, min(together, len(parts) // (4 * workers)))
    return (parts[at : at + together] for at in range(0, len(parts), together))


def _table(
    files: Sequence[Path], done: Sequence[int], spans: Sequence[tuple[int, int] | None]
) -> Any:
    """Parts of the job as rows; ``None`` is the question who the workers are."""
    import pyarrow as pa

    slices = [slice(0, 0) if span is None else slice(*span) for span in spans]
    return pa.table(
        {
            "number": pa.array([-1 if span is None else span[0] for span in spans], pa.int64()),
            "paths": pa.array(
                [[str(path) for path in files[at]] for at in slices], pa.list_(pa.string())
            ),
            "done": pa.array([list(done[at]) for at in slices], pa.list_(pa.int8())),
        }
    )


def _rows(ray: Any, dataset: Any) -> Generator[dict[str, Any], None, None]:
    """The rows of a dataset as they come."""
    try:
        for table in dataset.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        ):
            yield from table.to_pylist()
    except ray.exceptions.RayTaskError as error:
        raise ClusterError(f"A worker failed: {_last_line(error)}. {_KEPT}") from error
    except ray.exceptions.RayActorError as error:
        raise ClusterError(
            f"Workers died {1 + TRIES} times over the same images, as they do where memory is "
            f"short or a driver crashes: {_last_line(error)} {_KEPT}"
        ) from error
    except ray.exceptions.RayError as error:
        raise ClusterError(f"The cluster failed: {_last_line(error)}. {_KEPT}") from error


def _last_line(error: Exception) -> str:
    """What an error says, without the trace that Ray puts before it."""
    return str(error).strip().rpartition("\n")[2].strip()
