"""The calibration table: labelled mentions of held-out captions, with all their evidence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...detectors.mentions import Mentions
from .collected import CollectedCaption
from .columns import arrow, caption_rows, mentions_of, rows_of
from .folder import by_number, read_all, refuse_repeats, write_new
from .header import TableError, TableHeader, TableInfo, read_header

__all__ = ["CalibrationTable", "TableError", "TableInfo"]


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationTable:
    """Labelled mentions. Label 1 means hallucinated.

    Attributes:
        info: what they have in common.
        mentions: the ``n`` object mentions, all layers watched.
        labels: int64 ``[n]``; 1 where the image holds no such object.
        images: int64 ``[n]``, position in ``image_ids`` of the image that each mention describes.
        image_ids: every captioned image, those whose captions name no object included.
        unlabelled: mentions left out, because the annotations do not cover their kind of object.
        complete: whether every image that was to be captioned is there; False where collecting
            was stopped and not continued, or shards were missing when they were merged.
    """

    info: TableInfo
    mentions: Mentions
    labels: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    image_ids: tuple[str, ...]
    unlabelled: int = 0
    complete: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def first(self) -> npt.NDArray[np.bool_]:
        """Of each mention, whether its caption names that object for the first time."""
        return np.asarray(self.mentions.repeats == 0)

    def of_images(self, chosen: npt.NDArray[np.int64]) -> CalibrationTable:
        """The part of the table that describes some images, given by position in ``image_ids``."""
        position = np.full(len(self.image_ids), -1, dtype=np.int64)
        position[chosen] = np.arange(len(chosen))
        kept = position[self.images] >= 0
        return replace(
            self,
            mentions=self.mentions.take(kept),
            labels=self.labels[kept],
            images=position[self.images[kept]],
            image_ids=tuple(self.image_ids[i] for i in chosen),
        )

    @property
    def data_hash(self) -> str:
        """SHA-256 of the content, hexadecimal: the same in whatever order the images come.

        It covers everything that a detector can be fitted on, and the settings it came about
        under. How long captioning took is no content.
        """
        order = sorted(range(len(self.image_ids)), key=lambda i: by_number(self.image_ids[i]))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        rows = np.lexsort((self.mentions.index, rank[self.images]))
        whole = hashlib.sha256()
        mentions = self.mentions
        heading = [asdict(self.info), mentions.layers, [self.image_ids[i] for i in order]]
        whole.update(json.dumps(heading, sort_keys=True).encode())
        whole.update(json.dumps(mentions.object[rows].tolist()).encode())
        columns = [self.labels, rank[self.images]]
        columns += [getattr(mentions, field.name) for field in fields(mentions)[2:]]
        for column in columns:
            kind = "<i8" if column.dtype.kind in "iu" else "<f4"
            values = np.ascontiguousarray(column[rows], dtype=kind)
            if kind == "<f4":
                values[np.isnan(values)] = np.nan  # there are many NaNs; one stands for all
            whole.update(values.tobytes())
        return whole.hexdigest()

    @classmethod
    def load(cls, folder: str | Path) -> CalibrationTable:
        """Read the folder that ``sightline calibrate collect`` or ``merge`` wrote.

        Mentions that could not be labelled and images that could not be captioned are left out.

        Raises:
            TableError: there is no table, it is of a later version, a part is truncated, damaged or
                of another table, or an image is there twice.
            SightlineError: pyarrow is not installed.
        """
        folder = Path(folder)
        header = read_header(folder)
        captions, rows = read_all(folder, header)
        failed = captions["error"].is_valid().to_pylist()
        known = captions["image_id"].to_pylist()
        refuse_repeats(known, folder)
        ids = [image_id for image_id, bad in zip(known, failed, strict=True) if not bad]
        image_ids = tuple(sorted(ids, key=by_number))
        position = {image_id: place for place, image_id in enumerate(image_ids)}
        try:
            images = np.array([position[i] for i in rows["image_id"].to_pylist()], np.int64)
        except KeyError as error:
            raise TableError(
                f"Every mention in {folder} must be of a captioned image, {error} is none. The "
                f"table was changed by hand: collect it again."
            ) from error
        mentions = mentions_of(rows, layers=header.layers, heads=header.info.num_heads)
        labelled = rows["label"].is_valid().to_numpy()
        order = np.lexsort((mentions.index, images))
        order = order[labelled[order]]
        labels = rows["label"].fill_null(-1).to_numpy().astype(np.int64)
        return cls(
            info=header.info,
            mentions=mentions.take(order),
            labels=labels[order],
            images=images[order],
            image_ids=image_ids,
            unlabelled=int((~labelled).sum()),
            complete=header.finished,
        )

    def save(self, folder: str | Path) -> None:
        """Write the table in the format that :meth:`load` reads; its captions' texts are unknown.

        Raises:
            TableError: the folder holds anything.
            SightlineError: pyarrow is not installed.
        """
        counts = np.bincount(self.images, minlength=len(self.image_ids))
        captions = caption_rows([CollectedCaption(i, "", ()) for i in self.image_ids])
        place = captions.schema.get_field_index("mentions")
        field = captions.schema.field(place)
        captions = captions.set_column(place, field, arrow().array(counts, field.type))
        rows = rows_of(
            self.mentions,
            image_ids=[self.image_ids[i] for i in self.images],
            labels=self.labels.tolist(),
            spans=[(None, None, None)] * len(self),
        )
        header = TableHeader(self.info, self.mentions.layers, finished=self.complete)
        write_new(Path(folder), header, iter([(captions, rows)]))

    @classmethod
    def concatenate(cls, tables: Sequence[CalibrationTable]) -> CalibrationTable:
        """One table of several, of the same model, prompt, settings, lexicon and annotations.

        Raises:
            TableError: there is none, they differ, or an image is in two of them.
        """
        if not tables:
            raise TableError("At least one table is needed, got none.")
        first = tables[0]
        for other in tables[1:]:
            wrong = first.info.differences(other.info)
            if wrong:
                raise TableError(
                    f"Tables must come of the same model, prompt and annotations, differ in "
                    f"{'; '.join(wrong)}."
                )
        image_ids = tuple(i for table in tables for i in table.image_ids)
        refuse_repeats(image_ids, "the tables")
        offsets = np.cumsum([0, *(len(table.image_ids) for table in tables)])
        columns = {
            field.name: np.concatenate([getattr(table.mentions, field.name) for table in tables])
            for field in fields(Mentions)[1:]
        }
        return cls(
            info=first.info,
            mentions=Mentions(layers=first.mentions.layers, **columns),
            labels=np.concatenate([table.labels for table in tables]),
            images=np.concatenate(
                [table.images + offset for table, offset in zip(tables, offsets, strict=False)]
            ),
            image_ids=image_ids,
            unlabelled=sum(table.unlabelled for table in tables),
            complete=all(table.complete for table in tables),
        )
