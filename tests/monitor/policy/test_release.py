"""What a reader sees of a caption under a policy, and when; and what is never taken back."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
import torch
from sightline.monitor.events import Action, Event, Mention, Retract, Token, Verdict
from sightline.monitor.policy import AVOID, Intervention, Policy
from sightline.monitor.policy.release import Show
from sightline.monitor.report import fold
from sightline.monitor.session import Monitor
from torch import Tensor
from transformers import LogitsProcessor

from .small import CLEAN, FLAGGED, LIMIT, captions, events_of, inputs, small

LOOK = Intervention(alpha=2.0)
CLOSED, UNCLOSED = 33, 54
"""Scenes in whose captions the second object of a sentence is flagged: a full stop is likely before
it, and is not."""


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

        captions(policy, which, on_event=see, show=show, logits_processor=[passes])
    return found


@pytest.mark.once
def test_text_is_held_for_two_tokens_in_the_median() -> None:
    """Where nothing is flagged; a sentence takes longer, and live text does not wait at all."""
    assert statistics.median(delays(Policy(threshold=2.0))) <= 2
    assert statistics.median(delays(Policy(threshold=2.0, release="sentence"))) >= 5
    assert max(delays(Policy(threshold=2.0), "live")) == 0


@pytest.mark.parametrize("act", ["stop", "drop", "redecode"])
def test_a_later_flag_goes_back_to_what_was_shown_and_no_further(act: Any) -> None:
    """The sentence keeps its first object; what was flagged is gone."""
    kept = captions(Policy(act=act, max_tries=1), CLOSED).texts[0]
    assert kept.startswith("The image features a living room with a surfboard")
    assert "television" not in kept
    if act == "stop":
        whole = Policy(act=act, max_tries=1, release="sentence")
        assert not captions(whole, CLOSED).texts[0]


def test_a_sentence_that_was_shown_in_part_is_ended_with_a_full_stop() -> None:
    """Where the model finds one likely; the report says so, and its tokens are the text's."""
    result = captions("stop", CLOSED)
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
    (report,) = captions("stop", UNCLOSED).reports
    (action,) = report.actions
    assert [one.result for one in action.tries] == ["unlikely", "flagged"]
    assert action.outcome == "kept"
    assert report.text.endswith("An umbrella and a black cow are visible on the left.")
    assert report.finish == "stopped"
    assert len(captions("flag", UNCLOSED).texts[0]) > len(report.text)


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
        result = captions("stop", which, on_event=seen.append, show=show)
        texts[show] = result.texts[0]
        if show == "hold":
            told = "".join(event.text for event in seen if isinstance(event, Token))
            assert told == result.texts[0]
    assert texts["hold"] == texts["live"]


def test_verdicts_come_with_their_words() -> None:
    """Who sees a noun in held text has seen its verdict by the time the next sentence begins."""
    seen: list[Event] = []
    captions(Policy(threshold=2.0), 3, on_event=seen.append)
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


@pytest.mark.parametrize("show", ["hold", "live"])
@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(act="stop"),
        Policy(act="drop", more=1),
        Policy(tries=(LOOK, AVOID), otherwise="keep", back_to="phrase"),
    ],
    ids=("redecode", "stop", "drop", "phrase"),
)
def test_whoever_has_the_events_has_the_report(show: Show, policy: Policy) -> None:
    """Held or live, they fold to the same report; held events never take anything back."""
    which = (FLAGGED, 1, CLEAN)
    events, result = events_of(policy, show, *which)
    assert any(isinstance(event, Action) for event in events)
    assert any(isinstance(event, Retract) for event in events) is (show == "live")
    stream = small().stream(**inputs(*which), max_new_tokens=LIMIT, policy=policy, show=show)
    with stream:
        assert sum(1 for _ in stream) == len(events)
    for row, report in enumerate(result.reports):
        folded = fold(stream.watch.header(row), events, row=row)
        same = {"timings": None, "actions": None}
        assert folded.model_copy(update=same) == report.model_copy(update=same)
        assert len(folded.actions) == len(report.actions)
        shown = ""
        for event in events:
            if event.row == row and isinstance(event, Retract):
                shown = shown[: event.start]
            if event.row == row and isinstance(event, Token):
                assert event.start == len(shown)
                shown += event.text
        assert shown == report.text


def test_held_text_may_come_sentence_by_sentence() -> None:
    """Nothing of a sentence is shown before its end is known, and not all at the caption's end."""
    lengths: list[int] = []
    shown: list[Event] = []

    class Count(LogitsProcessor):
        def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
            lengths.append(sum(isinstance(event, Token) for event in shown))
            return scores

    whole = Policy(threshold=2.0, release="sentence")
    result = captions(whole, CLEAN, on_event=shown.append, logits_processor=[Count()])
    assert len(set(lengths)) > 2
    text = result.texts[0]
    for count in set(lengths):
        said = "".join(token.text for token in result.reports[0].tokens[:count])
        assert text.startswith(said)
        assert not said or said.rstrip().endswith(".")
