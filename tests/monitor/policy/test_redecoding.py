"""Captions under a policy: what is flagged is written again or left out, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from sightline.monitor.policy import AVOID, Act, Intervention, Policy
from sightline.monitor.report import Report
from torch import Tensor
from transformers import StoppingCriteria

from .small import (
    CLEAN,
    FLAGGED,
    LIMIT,
    Says,
    assert_same_tokens,
    captions,
    inputs,
    plain,
    same_row,
    small,
    truth,
)

LOOK = Intervention(alpha=2.0)
NEVER = Policy(threshold=2.0)  # probabilities do not reach it


def share(reports: Sequence[Report]) -> tuple[float, float, float]:
    """CHAIR_I over mentions, CHAIR_S and recall."""
    wrong = named = captions = found = present = 0
    for number, report in enumerate(reports):
        objects = [m.object for m in report.mentions if m.object]
        bad = [name for name in objects if name not in truth(number)]
        wrong, named, captions = wrong + len(bad), named + len(objects), captions + bool(bad)
        found, present = found + len(set(objects) & truth(number)), present + len(truth(number))
    return wrong / named, captions / len(reports), found / present


@pytest.mark.once
def test_hallucinations_become_rare_and_recall_stays() -> None:
    """40 scenes: both policies take at least 60% off CHAIR, for at most 10 points of recall."""
    batches = [tuple(range(start, start + 20)) for start in (0, 20)]
    results = {
        name: share([report for batch in batches for report in captions(name, *batch).reports])
        for name in ("flag", "stop", "redecode")
    }
    mentions, texts, recall = results["flag"]
    assert mentions > 0.06  # or there would be little to take off
    for name in ("stop", "redecode"):
        assert results[name][0] < 0.4 * mentions
        assert results[name][1] < 0.4 * texts
        assert results[name][2] > recall - 0.1
    assert results["redecode"][2] >= results["stop"][2]


def test_nothing_flagged_is_plain_generate() -> None:
    """All bits of tokens, scores and cache, in a batch, in one call of generate."""
    options = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    which = (FLAGGED, 1, 2, CLEAN)
    model: Any = small().model
    expected = model.generate(**inputs(*which), max_new_tokens=LIMIT, **options)
    result = captions(NEVER, *which, **options)
    assert torch.equal(result.sequences, expected.sequences)
    for name in ("scores", "logits"):
        ours, theirs = getattr(result.output, name), getattr(expected, name)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not any(report.actions for report in result.reports)
    watched = captions(None, *which)
    assert result.texts == watched.texts
    for ours_, theirs_ in zip(result.reports, watched.reports, strict=True):
        assert_same_tokens(ours_, theirs_)
        assert ours_.finish == theirs_.finish


@pytest.mark.parametrize(
    "policy",
    [
        Policy(act="stop"),
        Policy(act="drop"),
        Policy(tries=(LOOK, AVOID), max_tries=2, otherwise="keep"),
        Policy(back_to="noun", otherwise="keep"),
    ],
    ids=("stop", "drop", "look", "noun"),
)
def test_only_flagged_rows_change(policy: Policy) -> None:
    """In a batch, the other rows' tokens are those of plain generate, bit for bit."""
    which = tuple(range(5))
    expected = plain(*which)
    result = captions(policy, *which)
    acted = [bool(report.actions) for report in result.reports]
    assert any(acted)
    assert not all(acted)
    for row, changed in enumerate(acted):
        if not changed:
            assert same_row(result.sequences, expected, row)
        assert captions(policy, row).texts == (result.texts[row],)


def test_a_static_cache_gives_the_same_captions() -> None:
    """What is cut off a static cache is cut off, too."""
    policy = Policy(tries=(LOOK, AVOID), max_tries=2, otherwise="keep")
    static = captions(policy, FLAGGED, 1, CLEAN, cache_implementation="static")
    assert static.texts == captions(policy, FLAGGED, 1, CLEAN).texts
    assert any(report.actions for report in static.reports)


def test_no_try_passed_and_kept_is_the_same_caption() -> None:
    """All tries fail, the original is put back and goes on as if nothing had happened."""
    which = tuple(range(4))
    policy = Policy(act="redecode", tries=(LOOK, AVOID), max_tries=2, otherwise="keep")
    strict = Policy.from_json({**policy.to_json(), "threshold": 0.0})  # flags all objects
    result = captions(strict, *which)
    assert torch.equal(result.sequences, plain(*which))
    for report in result.reports:
        assert report.actions
        assert {action.outcome for action in report.actions} == {"kept"}
        assert all(action.old == action.new for action in report.actions)
        assert all(m.action == "flag" for m in report.mentions if m.object)


def test_an_accepted_span_passes_on_a_clean_pass() -> None:
    """What stands in a caption after Eq. 4 has the evidence of that text without it."""
    policy = Policy(threshold=0.5, tries=(LOOK, Intervention(alpha=1.0)), otherwise="keep")
    for row in range(40):
        (report,) = captions(policy, row).reports
        if any(a.outcome == "replaced" for a in report.actions):
            break
    else:
        pytest.fail("no span was replaced in 40 scenes")
    (action,) = [a for a in report.actions if a.outcome == "replaced"]
    assert action.new_score is not None
    assert action.new_score < 0.5 <= (action.old_score or 0)
    assert (action.intervention or "").startswith("attention x")
    assert any(m.action == "redecode" for m in report.mentions)
    prompt = inputs(row)["input_ids"].shape[1]
    forced = Says([token.id for token in report.tokens], prompt)
    clean = small().generate(**inputs(row), max_new_tokens=LIMIT, logits_processor=[forced])
    assert clean.texts == (report.text,)
    for ours, theirs in zip(report.tokens, clean.reports[0].tokens, strict=True):
        assert ours.id == theirs.id
        assert ours.log_prob == pytest.approx(theirs.log_prob, abs=1e-5)  # read in one pass
        assert ours.svar == pytest.approx(theirs.svar, abs=1e-5)


def test_a_stopped_caption_is_a_beginning_of_the_original() -> None:
    """It ends before the flagged sentence, with an end token, and says what was left out."""
    (report,) = captions("stop", FLAGGED).reports
    (before,) = captions("flag", FLAGGED).reports
    (action,) = report.actions
    assert before.text.startswith(report.text)
    assert report.finish == "stopped"
    assert not report.truncated
    assert action.outcome == "stopped"
    assert action.new == ""
    assert before.text[len(report.text) :].strip().startswith(action.old)
    assert not any(m.flagged for m in report.mentions)
    ids = captions("stop", FLAGGED).sequences[0].tolist()
    assert ids[-1] == small().model.generation_config.eos_token_id
    assert ids[:-1] == plain(FLAGGED)[0, : len(ids) - 1].tolist()


@pytest.mark.parametrize("budget", [0, 15])
def test_the_budget_is_kept(budget: int) -> None:
    """No caption decodes more tokens than that beyond those it keeps; ending it is free."""
    acts: tuple[Act, ...] = ("redecode", "drop")
    for act in acts:
        policy = Policy(act=act, budget=budget, otherwise="keep")
        for report in captions(policy, *range(4)).reports:
            spent = sum(a.extra_tokens for a in report.actions if a.outcome != "stopped")
            assert spent <= budget
            if not budget:
                assert not any(action.tries for action in report.actions)


def test_more_sentences_are_asked_for_and_judged() -> None:
    """Past the model's own end; the natural end comes back where the sentence is flagged."""
    longer = captions(Policy(act="stop", more=1), *range(6))
    shorter = captions(Policy(act="stop"), *range(6))
    grown = 0
    for one, other in zip(longer.reports, shorter.reports, strict=True):
        if other.finish == "eos":
            assert one.text.startswith(other.text)
            assert one.finish == "eos"
            grown += len(one.text) > len(other.text)
        else:
            assert one.text == other.text
    assert grown


@pytest.mark.parametrize("limit", [22, 27])
def test_the_length_limit_holds_inside_a_redecoded_span(limit: int) -> None:
    """However often a span is decoded again."""
    for policy in (Policy(threshold=0.1, otherwise="keep"), Policy(act="drop", threshold=0.1)):
        result = small().generate(**inputs(*range(4)), max_new_tokens=limit, policy=policy)
        assert result.sequences.shape[1] <= inputs(*range(4))["input_ids"].shape[1] + limit
        for report in result.reports:
            assert len(report.tokens) <= limit
            assert report.finish != "length" or len(report.tokens) == limit


def test_stop_strings_and_criteria_hold_inside_a_redecoded_span() -> None:
    """They end the caption in the new text as in the old."""
    reports = captions(Policy(), *range(8)).reports
    row, action = next(
        (row, action)
        for row, report in enumerate(reports)
        for action in report.actions
        if action.outcome == "replaced" and action.new
    )
    phrase = " ".join(action.new.split()[:3])
    assert phrase not in reports[row].text[: action.start]
    stopped = captions(Policy(), row, stop_strings=[phrase]).reports[0]
    assert stopped.text.endswith(phrase)
    assert stopped.finish == "stopped"
    assert stopped.actions[0].outcome == "replaced"

    class Enough(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
            size = inputs(row)["input_ids"].shape[1] + len(stopped.tokens)
            return torch.tensor([input_ids.shape[1] >= size])

    again = captions(Policy(), row, stopping_criteria=[Enough()]).reports[0]
    assert again.text == stopped.text
    assert again.finish == "stopped"


def test_sampling_under_a_policy_is_repeatable() -> None:
    """The same seed, the same captions; unflagged rows are those of plain sampling."""
    which = tuple(range(6))
    options: dict[str, Any] = {"do_sample": True, "temperature": 0.8}

    def sampled(make: Callable[[], Any]) -> Any:
        torch.manual_seed(5)
        return make()

    one = sampled(lambda: captions("redecode", *which, **options))
    other = sampled(lambda: captions("redecode", *which, **options))
    assert one.texts == other.texts
    expected = sampled(lambda: plain(*which, **options))
    acted = [bool(report.actions) for report in one.reports]
    assert any(acted)
    for row, changed in enumerate(acted):
        if not changed:
            assert same_row(one.sequences, expected, row)


def test_observe_flags_nothing_and_flag_is_the_default() -> None:
    """Both write what the model writes; the report says which policy it was."""
    observed = captions("observe", FLAGGED).reports[0]
    flagged = captions("flag", FLAGGED).reports[0]
    assert observed.text == flagged.text == captions(None, FLAGGED).texts[0]
    assert {mention.action for mention in observed.mentions} == {"keep"}
    assert "flag" in {mention.action for mention in flagged.mentions}
    assert observed.policy is not None
    assert observed.policy["act"] == "observe"
    assert captions(None, FLAGGED).reports[0].policy is None


def test_a_policy_gives_up_promises_it_does_not_keep() -> None:
    """Acting on flags and another threshold are said in every report."""
    acted = captions("stop", FLAGGED).reports[0].calibration
    other = captions(Policy(act="flag", threshold=0.9), FLAGGED).reports[0].calibration
    assert acted != "uncalibrated"
    assert other != "uncalibrated"
    assert any("a policy acted" in line for line in acted.limits)
    assert other.guarantee is None
    assert other.threshold == 0.9


@pytest.mark.parametrize(("act", "outcome"), [("redecode", "kept"), ("drop", "dropped")])
def test_bans_that_leave_no_token_end_in_an_outcome(act: Act, outcome: str) -> None:
    """A processor that allows one token only: the try failed; a dropped sentence ends the rest."""
    prompt = inputs(FLAGGED)["input_ids"].shape[1]
    says = Says(plain(FLAGGED)[0, prompt:].tolist(), prompt)
    policy = Policy(act=act, otherwise="keep", release="sentence", threshold=0.0)
    (report,) = captions(policy, FLAGGED, logits_processor=[says]).reports
    assert report.actions[0].outcome == outcome
    if act == "redecode":
        assert {trial.result for action in report.actions for trial in action.tries} == {"dead end"}
        assert report.text == captions(None, FLAGGED).texts[0]
    else:
        assert report.finish == "stopped"
        assert captions(None, FLAGGED).texts[0].startswith(report.text)
