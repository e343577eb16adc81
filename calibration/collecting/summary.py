"""What a collection came to: how many captions, mentions and hallucinations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..objects.chair import Counts, Labelled
from ..statistics import Estimate, ratio
from .captions import TableCaption
from .folder import by_number

FEW: Final = 30
"""With fewer images, intervals are wide and no threshold can promise anything."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A table in numbers.

    Attributes:
        table: its folder.
        data_hash: of its content.
        captions: images that were captioned.
        failed: images that were not.
        mentions: object mentions, those without a label included.
        unlabelled: of them, how many name objects that the annotations do not cover.
        hallucinated: share of the labelled mentions that is hallucinated; ``None`` without any.
        chair_s: share of captions with a hallucinated mention, with its interval.
        chair_i: share of mentions that is hallucinated, with its interval.
        recall: share of the images' objects that their captions name, with its interval.
        ended: share of captions that came to an end by themselves.
    """

    table: str
    data_hash: str
    captions: int
    failed: int
    mentions: int
    unlabelled: int
    hallucinated: float | None
    chair_s: Estimate | None
    chair_i: Estimate | None
    recall: Estimate | None
    ended: float | None

    @classmethod
    def of(cls, folder: Path, captions: Iterable[TableCaption], data_hash: str) -> Summary:
        """Summarise the captions of a table, one after another and in any order."""
        tally = _Tally()
        counts = Counts.of(tally.written(captions))
        ids, known = tally.ids, tally.labelled
        chair_s = chair_i = recall = None
        if ids:
            # The intervals depend on the images' order, and the table's parts may have any.
            order = sorted(range(len(ids)), key=lambda place: by_number(ids[place]))
            wrong, named = counts.wrong[order], counts.mentions[order]
            chair_s = ratio(wrong > 0, np.ones(len(ids)))
            chair_i = ratio(wrong, named)
            recall = ratio(counts.found[order], counts.objects[order])
        return cls(
            table=str(folder),
            data_hash=data_hash,
            captions=len(ids),
            failed=tally.failed,
            mentions=tally.mentions,
            unlabelled=tally.mentions - known,
            hallucinated=tally.hallucinated / known if known else None,
            chair_s=chair_s,
            chair_i=chair_i,
            recall=recall,
            ended=tally.ended / len(ids) if ids else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @property
    def limitations(self) -> tuple[str, ...]:
        """What the table cannot be relied on for, in words."""
        found = []
        if self.captions < FEW:
            found.append(
                f"{self.captions} captioned images are fewer than {FEW}: too few to calibrate on. "
                f"Caption more."
            )
        if self.mentions and self.hallucinated in (0, 1, None):
            kind = "hallucinated" if self.hallucinated else "real"
            if self.hallucinated is None:
                kind = "without a label"
            found.append(f"All mentions are {kind}: nothing can be fitted. Caption more images.")
        if not self.mentions and self.captions:
            found.append("No caption mentions an object. Is it the right lexicon (--lexicon)?")
        if self.unlabelled:
            found.append(
                f"{self.unlabelled} of {self.mentions} mentions name objects that the annotations "
                f"do not cover. They are kept without a label and are not fitted on."
            )
        return tuple(found)


@dataclass(slots=True)
class _Tally:
    """What is counted while captions pass by."""

    failed: int = 0
    mentions: int = 0
    labelled: int = 0
    hallucinated: int = 0
    ended: int = 0
    ids: list[str] = field(default_factory=list)

    def written(self, captions: Iterable[TableCaption]) -> Iterator[Labelled]:
        """Those that did not fail, for CHAIR: their mentions without those nobody can label."""
        for one in captions:
            if one.error is not None:
                self.failed += 1
                continue
            known = [
                (name, value)
                for name, value in zip(one.objects, one.labels, strict=True)
                if value is not None
            ]
            self.mentions += len(one.labels)
            self.labelled += len(known)
            self.hallucinated += sum(value for _, value in known)
            self.ended += one.finish == "eos"
            self.ids.append(one.image_id)
            yield Labelled(tuple(name for name, _ in known), frozenset(one.truth), ())
