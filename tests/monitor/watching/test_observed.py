"""Evidence of mentions from the events of one caption: the same online and offline."""

from __future__ import annotations

import numpy as np
import pytest
from sightline.detectors.evidence import Evidence
from sightline.monitor.events import Mention, Word
from sightline.monitor.watching.observed import MentionObserver


def evidence(step: int) -> Evidence:
    """Evidence that can be told from that of every other token."""
    masses = np.full((2, 3, 4), 0.25, np.float32)
    return Evidence((0, 1), masses, log_prob=-float(step), entropy=0.5, margin=0.1)


def mention(
    index: int,
    start: int,
    first_token: int,
    name: str | None,
    lemma: str = "thing",
    **changes: bool,
) -> Mention:
    """A mention of four characters and one token."""
    return Mention(
        row=0,
        index=index,
        word="word",
        lemma=lemma,
        object=name,
        visible=True,
        start=start,
        end=start + 4,
        first_token=first_token,
        last_token=first_token,
        provisional=changes.get("provisional", False),
    )


@pytest.fixture
def observer() -> MentionObserver:
    """Follows a caption of six words, each of four characters and one token."""
    found = MentionObserver()
    for step in range(6):
        found.token(evidence(step))
        found.word(Word(0, step, "word", 5 * step, 5 * step + 4, step, step))
    return found


def test_place_is_counted_in_objects_and_words(observer: MentionObserver) -> None:
    """Nouns outside the lexicon get a place and take none."""
    mentions = [mention(0, 5, 1, "dog"), mention(1, 10, 2, None), mention(2, 20, 4, "cat")]
    for one in mentions:
        observer.mention(one)
    found = [observer.evidence(one) for one in mentions]
    assert [(one.index, one.word, one.object) for one in found if one] == [
        (0, 1, "dog"),
        (1, 2, None),
        (1, 4, "cat"),
    ]


def test_repeats_are_counted_by_object_and_by_lemma(observer: MentionObserver) -> None:
    """A noun whose lemma is the name of an object is no repetition of the object."""
    mentions = [
        mention(0, 0, 0, "dog"),
        mention(1, 5, 1, None, "dog"),
        mention(2, 10, 2, "dog"),
        mention(3, 15, 3, None, "dog"),
        mention(4, 20, 4, "dog"),
    ]
    for one in mentions:
        observer.mention(one)
    found = [observer.evidence(one) for one in mentions]
    assert [one.repeats for one in found if one] == [0, 0, 1, 1, 2]


def test_rows_are_those_of_the_first_token_and_the_next(observer: MentionObserver) -> None:
    """The naming row is the one whose query is the first sub-token."""
    one = mention(0, 10, 2, "dog")
    observer.mention(one)
    found = observer.evidence(one)
    assert found is not None
    assert found.predicting.log_prob == -2
    assert found.naming is not None
    assert found.naming.log_prob == -3


def test_naming_row_may_come_later(observer: MentionObserver) -> None:
    """At the last token it is not there yet; with the next token it is."""
    one = mention(0, 25, 5, "dog")
    observer.mention(one)
    early = observer.evidence(one)
    assert not observer.named(one)
    assert early is not None
    assert early.naming is None
    observer.token(evidence(6))
    late = observer.evidence(one)
    assert observer.named(one)
    assert late is not None
    assert late.naming is not None
    assert (late.index, late.word, late.repeats) == (early.index, early.word, early.repeats)


def test_without_evidence_there_is_none() -> None:
    """A token that came without evidence gives a mention none."""
    observer = MentionObserver()
    observer.token(None)
    observer.word(Word(0, 0, "word", 0, 4, 0, 0))
    one = mention(0, 0, 0, "dog")
    observer.mention(one)
    assert observer.evidence(one) is None


def test_provisional_mentions_are_refused(observer: MentionObserver) -> None:
    """Their place is not known, and counting them would shift all others."""
    with pytest.raises(ValueError, match="Only confirmed mentions"):
        observer.mention(mention(0, 0, 0, "dog", provisional=True))
