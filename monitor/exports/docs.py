"""Captions as spaCy documents, their objects as spans: for annotation tools and displaCy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from ..report import Failure, Report

SPANS: Final = "sightline"
"""The span group that holds the nouns. Their labels are ``FLAGGED``, ``OBJECT`` and ``NOUN``, their
``kb_id`` is the object's name in the lexicon."""


def docs(records: Iterable[Report | Failure]) -> Iterator[str]:
    """One line of JSON for each caption, as ``Doc.to_json`` writes it and ``Doc.from_json`` reads.

    The image's path is added under ``meta``, where annotation tools look for such things.
    """
    import spacy

    english = spacy.blank("en")
    for record in records:
        if isinstance(record, Failure):
            continue
        doc = english(record.text)
        spans = []
        for mention in record.mentions:
            label = "FLAGGED" if mention.flagged else "OBJECT" if mention.object else "NOUN"
            span = doc.char_span(
                mention.start,
                mention.end,
                label=label,
                kb_id=mention.object or "",
                alignment_mode="expand",
            )
            if span is not None:
                spans.append(span)
        doc.spans[SPANS] = spans
        image = None if record.image is None else record.image.path
        yield json.dumps({**doc.to_json(), "meta": {"image": image}}, ensure_ascii=False) + "\n"
