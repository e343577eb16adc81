"""What a reader sees of a caption under a policy, and when; and what is never taken back."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.calibration.scenes.render import render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.world import sample_scene
from sightline.monitor.events import Event, Mention, Token, Verdict, Word
from sightline.monitor.language.words import split_words
from sightline.monitor.policy import AVOID, Policy
from sightline.monitor.policy.deliberation import Deliberation, Redo, Settle
from sightline.monitor.policy.floor import floor
from sightline.monitor.policy.policy import ReleaseBy
from sightline.monitor.policy.release import Show
from sightline.monitor.policy.spans import Sentences
from sightline.monitor.session import Captions, Monitor
from torch import Tensor
from transformers import LogitsProcessor

LIMIT = 160
CLOSED, UNCLOSED = 33, 54
"""Scenes in whose captions the second object of a sentence is flagged: a full stop is likely before
it, and is not."""


@cache
def small() -> Monitor:
    """The small model with its calibration."""
    return Monitor.from_pretrained("small")


@cache
def inputs(which: int) -> dict[str, Any]:
    """A development scene, by its number."""
    seed = list(seeds("development", which + 1, start=3000))[which]
    picture: Image.Image = render(sample_scene(seed)).image
    return dict(small().prepare([picture]))


def caption(policy: Policy | str | None, which: int, **options: Any) -> Captions:
    """The caption of a scene."""
    return small().generate(**inputs(which), max_new_tokens=LIMIT, policy=policy, **options)


class _Passes(LogitsProcessor):
    """Counts forward passes."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
        self.count += 1
        return scores


def delays(policy: Policy, show: Show = "hold") -> list[int]:
    """Of each token of some captions, how many tokens were decoded before it was shown."""
    found: list[int] = []
    for which in range(8):
        passes = _Passes()

        def see(event: Event, passes: _Passes = passes) -> None:
            if isinstance(event, Token) and event.text:
                found.append(passes.count - 1 - event.index)

        caption(policy, which, on_event=see, show=show, logits_processor=[passes])
    return found


def test_text_is_held_for_two_tokens_in_the_median() -> None:
    """Where nothing is flagged; a sentence takes longer, and live text does not wait at all."""
    assert statistics.median(delays(Policy(threshold=2.0))) <= 2
    assert statistics.median(delays(Policy(threshold=2.0, release="sentence"))) >= 5
    assert max(delays(Policy(threshold=2.0), "live")) == 0


@pytest.mark.parametrize("act", ["stop", "drop", "redecode"])
def test_a_later_flag_goes_back_to_what_was_shown_and_no_further(act: Any) -> None:
    """The sentence keeps its first object; what was flagged is gone."""
    kept = caption(Policy(act=act, max_tries=1), CLOSED).texts[0]
    assert kept.startswith("The image features a living room with a surfboard")
    assert "television" not in kept
    if act == "stop":
        whole = Policy(act=act, max_tries=1, release="sentence")
        assert not caption(whole, CLOSED).texts[0]


def test_a_sentence_that_was_shown_in_part_is_ended_with_a_full_stop() -> None:
    """Where the model finds one likely; the report says so, and its tokens are the text's."""
    result = caption("stop", CLOSED)
    (report,) = result.reports
    (action,) = report.actions
    assert (action.outcome, action.new) == ("stopped", ".")
    assert [(one.intervention, one.result) for one in action.tries] == [("full stop", "passed")]
    assert report.finish == "stopped"
    ids = result.sequences[0, inputs(CLOSED)["input_ids"].shape[1] :].tolist()
    assert ids[:-1] == [token.id for token in report.tokens]
    assert ids[-1] == small().model.generation_config.eos_token_id
    assert small().tokenizer.decode(ids[:-1]) == report.text


def test_a_sentence_that_cannot_be_ended_is_written_to_its_end_and_is_the_last() -> None:
    """Without what was flagged if that passes, else as it was; then the caption ends."""
    (report,) = caption("stop", UNCLOSED).reports
    (action,) = report.actions
    assert [one.result for one in action.tries] == ["unlikely", "flagged"]
    assert action.outcome == "kept"
    assert report.text.endswith("An umbrella and a black cow are visible on the left.")
    assert report.finish == "stopped"
    assert len(caption("flag", UNCLOSED).texts[0]) > len(report.text)


def test_without_a_full_stop_in_the_vocabulary_the_sentence_is_written_on() -> None:
    """A tokenizer may have none."""
    monitor = Monitor.from_pretrained("small")
    known = monitor.tokenizer.convert_tokens_to_ids
    monitor.tokenizer.convert_tokens_to_ids = lambda name: None if name == "." else known(name)
    result = monitor.generate(**inputs(CLOSED), max_new_tokens=LIMIT, policy="stop")
    (action,) = result.reports[0].actions
    assert [one.intervention for one in action.tries] == ["avoid"]
    assert action.outcome in ("kept", "replaced")
    assert result.texts[0].endswith(".")


@pytest.mark.parametrize("which", [CLOSED, UNCLOSED])
def test_hold_takes_nothing_back_and_ends_as_live_does(which: int) -> None:
    """Every token that was shown stands in the caption."""
    texts: dict[Show, str] = {}
    for show in ("hold", "live"):
        seen: list[Event] = []
        result = caption("stop", which, on_event=seen.append, show=show)
        texts[show] = result.texts[0]
        if show == "hold":
            told = "".join(event.text for event in seen if isinstance(event, Token))
            assert told == result.texts[0]
    assert texts["hold"] == texts["live"]


def test_what_cannot_be_ended_is_tried_once_more_and_then_kept() -> None:
    """The state machine: a drop or stop may write on, a failed re-decode may not."""
    stop = Deliberation(Policy(act="stop"))
    assert isinstance(stop.first(affordable=True), Settle)
    assert stop.unclosed(affordable=True) == Redo(AVOID)
    again = stop.failed("flagged", affordable=True)
    assert isinstance(again, Settle)
    assert again.outcome == "kept"
    poor = Deliberation(Policy(act="stop")).unclosed(affordable=False)
    assert isinstance(poor, Settle)
    assert poor.outcome == "kept"
    assert isinstance(Deliberation(Policy()).unclosed(affordable=True), Settle)


class _Draft:
    """The part of a draft that the floor reads: words of one token each, the last incomplete."""

    def __init__(self, text: str, nouns: Sequence[str], undecided: str | None) -> None:
        self.sentences = Sentences()
        self.words: list[Word] = []
        self.mentions: list[Mention] = []
        self.undecided: int | None = None
        for place, word in enumerate(split_words(text)):
            one = Word(0, place, word.text, word.start, word.end, place, place)
            self.words.append(one)
            self.sentences.word(one)
            if word.text == undecided:
                self.undecided = place
            elif word.text in nouns:
                self.mentions.append(_mention(len(self.mentions), one))
        self.complete = len(self.words)


def _mention(index: int, word: Word) -> Mention:
    place = word.first_token
    return Mention(
        row=0,
        index=index,
        word=word.text,
        lemma=word.text,
        object=word.text,
        visible=True,
        start=word.start,
        end=word.end,
        first_token=place,
        last_token=place,
        provisional=False,
    )


@pytest.mark.parametrize(
    ("text", "undecided", "release", "shown"),
    [
        ("There are also", None, "phrase", ""),
        ("There are also a cat", "cat", "phrase", ""),
        ("There are also a cat", None, "phrase", "There are also a cat"),
        ("There are also a cat and", None, "phrase", "There are also a cat"),
        ("There are also a cat and a small dog", "dog", "phrase", "There are also a cat"),
        ("A cat sits on", None, "phrase", "A cat sits on"),
        ("A cat sits on the dog", "dog", "phrase", "A cat sits on"),
        ("A cat sits. A", None, "phrase", "A cat sits."),
        ("A cat sits. A dog", None, "phrase", "A cat sits. A dog"),
        ("A cat sits. A dog", None, "sentence", "A cat sits."),
    ],
)
def test_the_floor_lies_before_what_a_flag_would_take_along(
    text: str, undecided: str | None, release: ReleaseBy, shown: str
) -> None:
    """A sentence waits for its first noun; determiners and conjunctions wait for theirs."""
    draft: Any = _Draft(text, ("cat", "dog"), undecided)
    place = floor(draft, release)
    end = draft.words[place - 1].end if place else 0
    assert text[:end] == shown


def test_verdicts_come_with_their_words() -> None:
    """Who sees a noun in held text has seen its verdict by the time the next sentence begins."""
    seen: list[Event] = []
    caption(Policy(threshold=2.0), 3, on_event=seen.append)
    judged = {event.mention for event in seen if isinstance(event, Verdict)}
    named = {e.index for e in seen if isinstance(e, Mention) and not e.provisional}
    assert judged == named
    for place, event in enumerate(seen):
        if isinstance(event, Token) and event.text == ".":
            told = sum(isinstance(one, Verdict) for one in seen[:place])
            nouns = [
                one
                for one in seen
                if isinstance(one, Mention) and not one.provisional and one.end <= event.start
            ]
            assert told >= len(nouns) - 1
