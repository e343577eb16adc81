"""The columns of a calibration table in Parquet: their names, their types, what they mean.

Attention masses are kept as float32, as the monitor has them while it decodes: a detector that is
run on the table gives the very scores that it gives online. Half of that would be saved as float16,
at the price of scores that differ in the third digit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...detectors.evidence import SEGMENTS
from ...detectors.extras import remedy
from ...detectors.mentions import Mentions
from ...monitor.errors import SightlineError
from .collected import CollectedCaption

MENTIONS: Final = {
    "image_id": "The image, as in the annotations.",
    "object": "Canonical name of the object, in the lexicon.",
    "text": "What stands in the caption.",
    "start": "Where it begins in the caption, in characters.",
    "end": "Where it ends, exclusive.",
    "index": "Object mentions before it in the caption.",
    "word": "Words before it in the caption; signs are words.",
    "repeats": "Earlier mentions of the same object in the caption.",
    "label": "1: the image holds no such object (hallucinated). 0: it does. Null: the annotations "
    "do not cover this kind of object.",
    "log_prob": "Log-probability of the first sub-token under the raw logits, nats.",
    "entropy": "Entropy of that distribution, nats.",
    "margin": "Log-probability of the likeliest token minus that of the runner-up, nats.",
    "confidence": "Internal confidence by logit lens, 0..1; null without --lens.",
    "masses": "Attention of the row that predicts the first sub-token, [layers, heads, segments], "
    f"flat; segments: {', '.join(SEGMENTS)}.",
    "naming": "The same of the next row, whose query is that sub-token; null where the caption was "
    "cut there.",
    "contributions": "What each layer's attention adds to the first sub-token's logit, [layers]; "
    "null without --lens.",
}
"""One row per object mention."""

CAPTIONS: Final = {
    "image_id": "The image, as in the annotations.",
    "file": "Name of the image file.",
    "text": "The caption; null where the image could not be captioned.",
    "mentions": "Object mentions in it.",
    "truth": "Canonical names of the objects in the image.",
    "tokens": "Generated tokens, the end token included.",
    "finish": "eos: ended by itself; length: cut; stopped: by a rule.",
    "seconds": "From the start of its batch to its end.",
    "error": "What happened where the image could not be captioned.",
}
"""One row per image."""


def arrow() -> Any:
    """pyarrow, with its Parquet reader.

    Raises:
        SightlineError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SightlineError(
            f"Calibration tables are Parquet files, and pyarrow is not installed. Install it: "
            f"{remedy('calibration')}"
        ) from error
    return pyarrow


def mention_schema(layers: int, heads: int) -> Any:
    """The Arrow schema of the mentions of a model that was watched in so many layers."""
    pa = arrow()
    masses = pa.list_(pa.float32(), layers * heads * len(SEGMENTS))
    types = {
        **dict.fromkeys(("image_id", "object", "text"), pa.string()),
        **dict.fromkeys(("start", "end", "index", "word", "repeats"), pa.int32()),
        "label": pa.int8(),
        **dict.fromkeys(("log_prob", "entropy", "margin", "confidence"), pa.float32()),
        "masses": masses,
        "naming": masses,
        "contributions": pa.list_(pa.float32(), layers),
    }
    return pa.schema([(name, types[name]) for name in MENTIONS])


def caption_schema() -> Any:
    """The Arrow schema of the captions."""
    pa = arrow()
    types = {
        **dict.fromkeys(("image_id", "file", "text", "finish", "error"), pa.string()),
        **dict.fromkeys(("mentions", "tokens"), pa.int32()),
        "truth": pa.list_(pa.string()),
        "seconds": pa.float64(),
    }
    return pa.schema([(name, types[name]) for name in CAPTIONS])


def caption_rows(captions: Sequence[CollectedCaption]) -> Any:
    """The captions' rows, an Arrow table."""
    pa = arrow()
    columns = {name: [getattr(one, name) for one in captions] for name in CAPTIONS}
    columns["mentions"] = [len(one.mentions) for one in captions]
    columns["truth"] = [list(one.truth) for one in captions]
    return pa.table(columns, schema=caption_schema())


def mention_rows(captions: Sequence[CollectedCaption], *, layers: int, heads: int) -> Any:
    """The rows of all mentions of some captions, an Arrow table."""
    found = [(one.image_id, mention) for one in captions for mention in one.mentions]
    if not found:
        return mention_schema(layers, heads).empty_table()
    return rows_of(
        Mentions.of([mention.evidence for _, mention in found]),
        image_ids=[image_id for image_id, _ in found],
        labels=[mention.label for _, mention in found],
        spans=[(mention.text, mention.start, mention.end) for _, mention in found],
    )


def rows_of(
    mentions: Mentions,
    *,
    image_ids: Sequence[str],
    labels: Sequence[int | None],
    spans: Sequence[tuple[str | None, int | None, int | None]],
) -> Any:
    """Mentions as an Arrow table.

    Args:
        mentions: ``n`` of them.
        image_ids: of each, its image.
        labels: of each, its label.
        spans: of each, text, start and end, as far as known.
    """
    pa = arrow()
    texts, starts, ends = zip(*spans, strict=True) if spans else ((), (), ())
    columns = {
        "image_id": list(image_ids),
        "object": mentions.object.tolist(),
        "text": list(texts),
        "start": list(starts),
        "end": list(ends),
        "index": mentions.index,
        "word": mentions.word,
        "repeats": mentions.repeats,
        "label": list(labels),
        "masses": _lists(mentions.masses),
        "naming": _lists(mentions.naming),
        "contributions": _lists(mentions.contributions),
    }
    for name in ("log_prob", "entropy", "margin", "confidence"):
        columns[name] = pa.array(getattr(mentions, name), from_pandas=True)  # NaN becomes null
    schema = mention_schema(len(mentions.layers), mentions.masses.shape[2])
    return pa.table({name: columns[name] for name in MENTIONS}, schema=schema)


def mentions_of(rows: Any, *, layers: Sequence[int], heads: int) -> Mentions:
    """Mentions from an Arrow table, whose nulls become NaN."""
    shape = (len(layers), heads, len(SEGMENTS))

    def numbers(name: str, kind: type[np.generic]) -> Any:
        return rows[name].to_numpy().astype(kind)

    return Mentions(
        layers=tuple(layers),
        object=np.array(rows["object"].to_pylist(), dtype=np.str_),
        index=numbers("index", np.int64),
        word=numbers("word", np.int64),
        repeats=numbers("repeats", np.int64),
        masses=_arrays(rows["masses"]).reshape(-1, *shape),
        naming=_arrays(rows["naming"]).reshape(-1, *shape),
        log_prob=numbers("log_prob", np.float32),
        entropy=numbers("entropy", np.float32),
        margin=numbers("margin", np.float32),
        confidence=numbers("confidence", np.float32),
        contributions=_arrays(rows["contributions"]),
    )


def column_of(rows: Any, name: str) -> npt.NDArray[np.generic]:
    """One column of an Arrow table of mentions: numbers ``[n]``, or lists ``[n, length]``.

    Integers are int64, the others float32; nulls become NaN.
    """
    column = rows[name]
    if arrow().types.is_fixed_size_list(column.type):
        return _arrays(column)
    whole = arrow().types.is_integer(column.type)
    found: npt.NDArray[np.generic] = column.to_numpy().astype(np.int64 if whole else np.float32)
    return found


def _lists(values: npt.NDArray[np.float32]) -> Any:
    """Lists of equal length; those that hold nothing but NaN are null."""
    pa = arrow()
    size = math.prod(values.shape[1:])
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(len(values), size)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(flat.ravel()), size, mask=pa.array(np.isnan(flat).all(axis=1))
    )


def _arrays(column: Any) -> npt.NDArray[np.float32]:
    """Float32 ``[n, length]`` of a column of lists of equal length."""
    joined = column.combine_chunks()
    if hasattr(joined, "chunks"):  # no chunk at all stays chunked
        joined = arrow().concat_arrays(joined.chunks) if joined.num_chunks else None
    size = column.type.list_size
    found = np.full((len(column), size), np.nan, np.float32)
    if joined is not None and len(joined):
        known = joined.is_valid().to_numpy(zero_copy_only=False)
        found[known] = joined.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return found
