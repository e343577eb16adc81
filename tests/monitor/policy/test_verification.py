"""A span written under Eq. 4 is judged without it: in one pass where that harms nobody."""

from __future__ import annotations

from typing import Any

import pytest
from sightline.monitor.policy import Intervention, Policy
from sightline.monitor.policy.redecoding import Redecoding
from sightline.monitor.report import Report

from .small import LIMIT, Says, captions, inputs, small

POLICY = Policy(tries=(Intervention(alpha=2.0),), max_tries=1, threshold=0.4, more=1)
SCENES = 16


def caption(number: int, policy: Policy = POLICY, **options: Any) -> tuple[Report, int]:
    """A scene's report, and how often the model ran."""
    model: Any = small().model
    passes: list[int] = []
    hook = model.register_forward_hook(lambda *_: passes.append(1))
    try:
        result = captions(policy, number, **options)
    finally:
        hook.remove()
    return result.reports[0], len(passes)


def close(one: Report, other: Report) -> bool:
    """Whether two captions are the same, what was measured within 1e-5."""
    numbers = [
        (a, b)
        for x, y in zip(one.tokens, other.tokens, strict=True)
        for a, b in ((x.log_prob, y.log_prob), (x.entropy, y.entropy), (x.svar, y.svar))
    ]
    numbers += [(x.score, y.score) for x, y in zip(one.mentions, other.mentions, strict=True)]
    alike = one.text == other.text and len(one.actions) == len(other.actions)
    return alike and all(a == pytest.approx(b, abs=1e-5) for a, b in numbers)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Spans are read token by token, as in a batch."""
    monkeypatch.setattr(Redecoding, "_to_verify", lambda self, back: [])
    return monkeypatch


def test_one_pass_shows_what_single_steps_show(exact: pytest.MonkeyPatch) -> None:
    """Of the span and of all that follows it in the cache; for as many passes less."""
    saved: list[tuple[str, int]] = []
    for number in range(SCENES):
        steps, slow = caption(number)
        exact.undo()
        whole, fast = caption(number)
        exact.setattr(Redecoding, "_to_verify", lambda self, back: [])
        assert close(whole, steps)
        for one, other in zip(whole.actions, steps.actions, strict=True):
            assert one.outcome == other.outcome
            assert one.extra_tokens == other.extra_tokens or one.outcome == "stopped"
        saved += [(action.outcome, slow - fast) for action in whole.actions[:1]]
    assert any(outcome == "replaced" and less >= 5 for outcome, less in saved)
    assert any(outcome == "stopped" for outcome, less in saved)
    assert sum(less for _, less in saved) > 20


def test_who_asks_for_scores_gets_those_of_single_steps() -> None:
    """The scores of a span are of the passes that its cache comes from, bit for bit."""
    number = next(n for n in range(SCENES) if _replaced(caption(n)[0]))
    records: dict[str, Any] = {"return_dict_in_generate": True, "output_logits": True}
    result = captions(POLICY, number, **records)
    assert _replaced(result.reports[0])
    model: Any = small().model
    given = inputs(number)
    prompt = given["input_ids"].shape[1]
    said = Says(result.sequences[0, prompt:].tolist(), prompt)
    clean = model.generate(**given, max_new_tokens=LIMIT, logits_processor=[said], **records)
    assert clean.sequences.tolist() == result.sequences.tolist()
    for ours, theirs in zip(result.output.logits, clean.logits, strict=True):
        assert bool((ours == theirs).all())


def _replaced(report: Report) -> bool:
    return any(action.outcome == "replaced" for action in report.actions)


def test_what_breaks_in_that_pass_gives_the_original_back() -> None:
    """And the passes after it are measured one row at a time again."""
    number = next(n for n in range(SCENES) if _replaced(caption(n)[0]))
    model: Any = small().model

    def breaks(module: Any, args: Any, given: Any) -> None:
        if 1 < given["input_ids"].shape[1] < 64:  # more than a step, less than a prompt
            raise RuntimeError("broken")

    hook = model.register_forward_pre_hook(breaks, with_kwargs=True)
    try:
        (report, _) = caption(number)
    finally:
        hook.remove()
    assert report.actions[0].outcome == "kept"
    assert "broken" in report.actions[0].reason
    assert report.finish in ("eos", "stopped")
