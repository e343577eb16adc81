"""Reports as a step of anybody's Ray Data pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .captioning import Captioning
from .cluster import Workers, require_ray
from .worker import ImageWorker

if TYPE_CHECKING:
    from ray.data import Dataset  # pyright: ignore[reportMissingImports]


def caption_dataset(
    dataset: Dataset,
    captioning: Captioning | None = None,
    *,
    column: str = "path",
    names: str | None = None,
    workers: Workers | None = None,
    batch_size: int = 1,
) -> Dataset:
    """Caption the images of a dataset and report on every noun.

    Example::

        images = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
        reports = caption_dataset(
            images,
            Captioning(model="llava-hf/llava-1.5-7b-hf"),
            column="bytes",
            names="path",
            workers=Workers(count=8, gpus=1),
            batch_size=16,
        )
        reports.write_parquet("s3://bucket/reports")

    Each worker loads the model once. An image that fails is a row of its own and stops no other.
    Rows are batched as they come, and a caption's last digits depend on its batch.

    Args:
        dataset: rows with an image each.
        captioning: how captions are made; by default those of the small model.
        column: paths of images that every worker can read, or what is in their files.
        names: where ``column`` holds bytes, the column with what reports call the images.
        workers: how many, and what each needs.
        batch_size: images captioned at once.

    Returns:
        the same rows without the images' bytes, and with two columns more: ``kind``, which is
        ``"caption"`` or ``"failure"``, and ``report``, a line of JSON for
        :func:`~sightline.monitor.report.parse_record`.

    Raises:
        ClusterError: Ray is not installed. Where the model cannot be had, iterating over what is
            returned raises a ``RayTaskError`` whose ``cause`` says why.
    """
    ray = require_ray()
    workers = Workers() if workers is None else workers
    return dataset.map_batches(
        ImageWorker,
        fn_constructor_args=(captioning or Captioning(), column, names),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers.count, max_tasks_in_flight_per_actor=2),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
    )
