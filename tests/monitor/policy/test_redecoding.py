"""Captions under a policy: what is flagged is written again or left out, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from PIL import Image
from sightline.calibration.scenes.observed import truth_of
from sightline.calibration.scenes.render import render
from sightline.calibration.scenes.seeds import seeds
from sightline.calibration.scenes.world import sample_scene
from sightline.monitor.errors import NonFiniteError, OptionError
from sightline.monitor.events import Action, Event, Retract, Token
from sightline.monitor.policy import AVOID, Act, Intervention, Policy
from sightline.monitor.policy.release import Show
from sightline.monitor.report import Report, fold
from sightline.monitor.session import Captions, Monitor
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria

LIMIT = 160
LOOK = Intervention(alpha=2.0)
NEVER = Policy(threshold=2.0)  # probabilities do not reach it


@cache
def small() -> Monitor:
    """The small model with its calibration."""
    monitor = Monitor.from_pretrained("small")
    # transformers leaves hooks of its own at the first pass; ours are counted beside them.
    monitor.generate(**monitor.prepare([Image.new("RGB", (96, 96))]), max_new_tokens=1)
    return monitor


@cache
def scenes(count: int) -> tuple[tuple[Image.Image, frozenset[str]], ...]:
    """Development scenes and what is in them."""
    found = []
    for seed in seeds("development", count, start=3000):
        picture = render(sample_scene(seed))
        found.append((picture.image, frozenset(truth_of(picture))))
    return tuple(found)


@cache
def inputs(*which: int) -> dict[str, Any]:
    """A batch of scenes, by their numbers."""
    return dict(small().prepare([scenes(40)[one][0] for one in which]))


def captions(policy: Policy | str | None, *which: int, **options: Any) -> Captions:
    """Captions of a batch of scenes."""
    return small().generate(**inputs(*which), max_new_tokens=LIMIT, policy=policy, **options)


def plain(*which: int, **options: Any) -> Tensor:
    """What the model writes by itself."""
    model: Any = small().model
    ids: Tensor = model.generate(**inputs(*which), **{"max_new_tokens": LIMIT, **options})
    return ids


FLAGGED, CLEAN = 0, 3
"""A scene whose caption has a flagged object in its third sentence, and one without."""


def same_row(one: Tensor, other: Tensor, row: int) -> bool:
    """Whether two batches have the same row, up to filling."""
    shared = min(one.shape[1], other.shape[1])
    rest = torch.cat([one[row, shared:], other[row, shared:]])
    return torch.equal(one[row, :shared], other[row, :shared]) and not rest.any()


def share(reports: Sequence[Report]) -> tuple[float, float, float]:
    """CHAIR_I over mentions, CHAIR_S and recall."""
    wrong = named = captions = found = present = 0
    for report, (_, truth) in zip(reports, scenes(40), strict=True):
        objects = [m.object for m in report.mentions if m.object]
        bad = [name for name in objects if name not in truth]
        wrong, named, captions = wrong + len(bad), named + len(objects), captions + bool(bad)
        found, present = found + len(set(objects) & truth), present + len(truth)
    return wrong / named, captions / len(reports), found / present


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
        assert ours_.tokens == theirs_.tokens
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
    forced = _Says([token.id for token in report.tokens], prompt)
    clean = small().generate(**inputs(row), max_new_tokens=LIMIT, logits_processor=[forced])
    assert clean.texts == (report.text,)
    for ours, theirs in zip(report.tokens, clean.reports[0].tokens, strict=True):
        assert ours.id == theirs.id
        assert ours.log_prob == pytest.approx(theirs.log_prob, abs=1e-5)  # read in one pass
        assert ours.svar == pytest.approx(theirs.svar, abs=1e-5)


class _Says(LogitsProcessor):
    """Makes the model say given tokens."""

    def __init__(self, tokens: Sequence[int], prompt: int) -> None:
        self.tokens, self.prompt = tokens, prompt

    def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
        only = torch.full_like(scores, -torch.inf)
        only[:, self.tokens[input_ids.shape[1] - self.prompt]] = 0.0
        return only


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


class _Breaks(LogitsProcessor):
    """Raises when a position is reached for the second time: inside a re-decode."""

    def __init__(self, error: BaseException, *, times: int = 1) -> None:
        self.error, self.times = error, times
        self.furthest = 0

    def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
        length = input_ids.shape[1]
        if length <= self.furthest and self.times:
            self.times -= 1
            raise self.error
        self.furthest = max(length, self.furthest)
        return scores


def _hooks(model: Any) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
    )


@pytest.mark.parametrize(
    "error",
    [RuntimeError("broken"), torch.OutOfMemoryError("CUDA out of memory"), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_inside_a_redecode_gives_the_original_back(error: Exception) -> None:
    """Flagged, with the reason; the caption goes on to its end, and the model is as found."""
    before = _hooks(small().model)
    which = (FLAGGED, 1, CLEAN)
    result = captions(Policy(otherwise="stop"), *which, logits_processor=[_Breaks(error)])
    kept = [a for report in result.reports for a in report.actions if a.outcome == "kept"]
    assert kept
    assert type(error).__name__ in kept[0].reason
    assert kept[0].old == kept[0].new
    assert kept[0].tries[-1].result == "error"
    row = next(i for i, report in enumerate(result.reports) if report.actions[:1] == (kept[0],))
    assert any(m.action == "flag" for m in result.reports[row].mentions)
    assert same_row(result.sequences, plain(*which), 2)
    assert _hooks(small().model) == before
    assert torch.equal(plain(FLAGGED), plain(FLAGGED))


def test_an_interrupt_gives_the_original_back_and_is_raised_on() -> None:
    """Who streams has the reports of what was there, with the original text."""
    before = _hooks(small().model)
    stream = small().stream(
        **inputs(FLAGGED),
        max_new_tokens=LIMIT,
        policy="redecode",
        logits_processor=[_Breaks(KeyboardInterrupt())],
    )
    with pytest.raises(KeyboardInterrupt), stream:
        for _ in stream:
            pass
    (report,) = stream.watch.reports
    (action,) = report.actions
    assert report.finish == "interrupted"
    assert action.outcome == "kept"
    assert "KeyboardInterrupt" in action.reason
    assert report.text.strip().endswith(action.old)
    assert any(mention.flagged for mention in report.mentions)
    assert _hooks(small().model) == before


def test_a_fault_outside_is_raised_as_it_is() -> None:
    """Nothing was being decoded again: there is no original to give back."""

    class Poison(LogitsProcessor):
        def __call__(self, input_ids: torch.LongTensor, scores: Tensor) -> Tensor:
            raise RuntimeError("poison")

    before = _hooks(small().model)
    with pytest.raises(RuntimeError, match="poison"):
        captions("redecode", FLAGGED, logits_processor=[Poison()])
    assert _hooks(small().model) == before


def test_what_a_listener_raises_is_raised_on() -> None:
    """Also while another row is decoded again: it is no fault of the decoding."""
    count = sum(1 for _ in events_of("redecode", "live", FLAGGED, 1, CLEAN)[0])
    before = _hooks(small().model)
    for place in range(20, count, 45):
        seen: list[Event] = []

        def listen(event: Event, seen: list[Event] = seen, place: int = place) -> None:
            seen.append(event)
            if len(seen) == place:
                raise ConnectionError("gone")

        with pytest.raises(ConnectionError, match="gone"):
            captions("redecode", FLAGGED, 1, CLEAN, on_event=listen, show="live")
        assert len(seen) == place
    assert _hooks(small().model) == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_beams": 2}, "num_beams"),
        ({"prompt_lookup_num_tokens": 3}, "prompt-lookup"),
        ({"cache_implementation": "quantized"}, "quantized"),
        ({"use_cache": False}, "use_cache"),
        ({"eos_token_id": None}, "needs a token that ends them"),
    ],
)
def test_what_cannot_be_taken_back_is_refused_before_decoding(
    options: dict[str, Any], says: str
) -> None:
    """With the reason, by generate and by stream alike, and without a forward pass."""
    passes: list[int] = []
    hook = small().model.register_forward_hook(lambda *_: passes.append(1))
    model: Any = small().model
    eos = model.generation_config.eos_token_id
    if "eos_token_id" in options:
        model.generation_config.eos_token_id = None
    try:
        with pytest.raises(OptionError, match=says):
            captions("redecode", FLAGGED, **options)
        with pytest.raises(OptionError, match=says):
            small().stream(**inputs(FLAGGED), policy="stop", max_new_tokens=LIMIT, **options)
    finally:
        hook.remove()
        model.generation_config.eos_token_id = eos
    assert not passes


def test_a_policy_that_cannot_act_is_refused(monitor: Monitor, pictures: Any) -> None:
    """Without a calibration, in a plain watch, on layers that are not there, with a streamer."""
    with pytest.raises(OptionError, match="has no calibration"):
        monitor.generate(**monitor.prepare(pictures[:1]), policy="stop")
    with pytest.raises(OptionError, match="only watches"):
        small().watch(inputs(FLAGGED), policy="stop")
    deep = Policy(tries=(Intervention(alpha=1.0, layers=(4, 40)),))
    with pytest.raises(OptionError, match="cannot act on this model"):
        captions(deep, FLAGGED)
    with pytest.raises(OptionError, match="streamer"):
        captions("stop", FLAGGED, streamer=object())
    with pytest.raises(ValueError, match="policy must be"):
        captions("rewrite", FLAGGED)


def test_nan_under_a_policy_is_an_error_as_without() -> None:
    """A distribution that holds nothing is not judged."""
    head: Any = small().model.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, args, out: out * float("nan"))
    try:
        with pytest.raises(NonFiniteError):
            captions("redecode", FLAGGED)
    finally:
        hook.remove()


def events_of(policy: Policy | str, show: Show, *which: int) -> tuple[list[Event], Captions]:
    """All events of a batch, and what came of it."""
    events: list[Event] = []
    result = captions(policy, *which, on_event=events.append, show=show)
    return events, result


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


def test_a_closed_stream_stops_redecoding() -> None:
    """The model is as it was found, and nothing waits for the rest."""
    before = _hooks(small().model)
    stream = small().stream(**inputs(*range(6)), max_new_tokens=LIMIT, policy="redecode")
    next(stream)
    stream.close()
    assert _hooks(small().model) == before
    assert list(stream) == []


def test_sampling_under_a_policy_is_repeatable() -> None:
    """The same seed, the same captions; unflagged rows are those of plain sampling."""
    which = tuple(range(6))
    options = {"do_sample": True, "temperature": 0.8}

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


def test_a_fault_in_one_row_does_not_lose_another_rows_flag() -> None:
    """While one row is decoded again, the others are judged as before."""
    which = (FLAGGED, 1, 2, CLEAN)
    whole = captions("stop", *which)
    broken = captions(
        Policy(otherwise="stop", max_tries=1),
        *which,
        logits_processor=[_Breaks(RuntimeError("broken"))],
    )
    for before, after in zip(whole.reports, broken.reports, strict=True):
        assert bool(before.actions) == bool(after.actions)


@pytest.mark.parametrize(("act", "outcome"), [("redecode", "kept"), ("drop", "dropped")])
def test_bans_that_leave_no_token_end_in_an_outcome(act: Act, outcome: str) -> None:
    """A processor that allows one token only: the try failed; a dropped sentence ends the rest."""
    prompt = inputs(FLAGGED)["input_ids"].shape[1]
    says = _Says(plain(FLAGGED)[0, prompt:].tolist(), prompt)
    policy = Policy(act=act, otherwise="keep", release="sentence", threshold=0.0)
    (report,) = captions(policy, FLAGGED, logits_processor=[says]).reports
    assert report.actions[0].outcome == outcome
    if act == "redecode":
        assert {trial.result for action in report.actions for trial in action.tries} == {"dead end"}
        assert report.text == captions(None, FLAGGED).texts[0]
    else:
        assert report.finish == "stopped"
        assert captions(None, FLAGGED).texts[0].startswith(report.text)
