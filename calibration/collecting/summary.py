"""What a collection came to: how many captions, mentions and hallucinations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ...monitor.language.words import split_words
from ..objects.chair import Labelled, chair
from ..statistics import Estimate
from .captions import TableCaption

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
    def of(cls, folder: Path, captions: Sequence[TableCaption], data_hash: str) -> Summary:
        """Summarise the captions of a table."""
        written = [one for one in captions if one.error is None]
        labels = [value for one in written for value in one.labels]
        known = [value for value in labels if value is not None]
        figures = chair([_labelled(one) for one in written]) if written else None
        return cls(
            table=str(folder),
            data_hash=data_hash,
            captions=len(written),
            failed=len(captions) - len(written),
            mentions=len(labels),
            unlabelled=len(labels) - len(known),
            hallucinated=sum(known) / len(known) if known else None,
            chair_s=figures.chair_s if figures else None,
            chair_i=figures.chair_i if figures else None,
            recall=figures.recall if figures else None,
            ended=figures.ended.value if figures else None,
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


def _labelled(caption: TableCaption) -> Labelled:
    """A caption for CHAIR, its mentions without those that nobody can label."""
    known = zip(caption.objects, caption.labels, strict=True)
    words = split_words(caption.text or "")
    return Labelled(
        mentions=tuple(name for name, value in known if value is not None),
        truth=frozenset(caption.truth),
        words=tuple(word.text.lower() for word in words if word.text[0].isalnum()),
        ended=caption.finish == "eos",
    )
