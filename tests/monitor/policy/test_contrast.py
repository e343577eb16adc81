"""Spans written again under a contrast: by the formula, on clean passes, in flagged rows alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sightline.monitor.errors import OptionError
from sightline.monitor.policy import Intervention, Policy
from sightline.monitor.policy.blind import PLAUSIBLE, BlindBranch
from sightline.monitor.session import Monitor
from torch import Tensor

from .small import LIMIT, Says, assert_same_tokens, captions, inputs, small

GAMMA = 1.0
CONTRAST = Policy(tries=(Intervention(contrast=GAMMA),), max_tries=1, threshold=0.25)
REPLACED, STOPPED, CLEAN = 38, 0, 1
"""Scenes whose caption is flagged and mended, flagged and not mended, and not flagged."""


@torch.no_grad()
def test_each_token_is_the_best_by_the_formula() -> None:
    """Worked out again from whole passes, with the image and without."""
    model: Any = small().model
    (report,) = captions(CONTRAST, REPLACED).reports
    (action,) = report.actions
    assert action.outcome == "replaced"
    assert action.intervention == "contrast x1"
    given = inputs(REPLACED)
    prompt, image = given["input_ids"], small().anatomy.image_positions(given["input_ids"])
    said = [token.id for token in report.tokens]
    with_image = torch.cat([prompt, torch.tensor([said])], dim=1)
    alone = torch.cat([prompt[~image][None], torch.tensor([said])], dim=1)
    seen = model(input_ids=with_image, pixel_values=given["pixel_values"]).logits[0]
    blind = model(input_ids=alone).logits[0]
    changed = 0
    for place in range(action.first_token, action.end_token):
        back = place - len(said) - 1
        p, q = seen[back].log_softmax(dim=0), blind[back].log_softmax(dim=0)
        scores = ((1 + GAMMA) * p - GAMMA * q).masked_fill(
            p < p.max() + math.log(PLAUSIBLE), -torch.inf
        )
        assert int(scores.argmax()) == said[place]
        changed += int(p.argmax()) != said[place]
    assert changed


@pytest.mark.parametrize("lens", [False, True], ids=("plain", "lens"))
def test_the_evidence_is_that_of_the_model_alone(lens: bool) -> None:
    """No pass had an intervention in it: what was read at once is what a clean pass shows."""
    (report,) = captions(CONTRAST, REPLACED, lens=lens).reports
    assert report.actions[0].outcome == "replaced"
    prompt = inputs(REPLACED)["input_ids"].shape[1]
    forced = Says([token.id for token in report.tokens], prompt)
    (clean,) = captions(None, REPLACED, lens=lens, logits_processor=[forced]).reports
    assert report.text == clean.text
    assert_same_tokens(report, clean)
    for ours, theirs in zip(report.mentions, clean.mentions, strict=True):
        assert ours.svar == pytest.approx(theirs.svar, abs=1e-6)
        # The detector may have judged it together with other mentions.
        for one, other in ((ours.score, theirs.score), (ours.evidence, theirs.evidence)):
            assert one == pytest.approx(other, abs=1e-5)


def test_no_second_reading_and_every_blind_pass_counts() -> None:
    """The model runs once with and once without the image for each token of a try."""
    model: Any = small().model
    seen: list[int] = []
    hook = model.register_forward_hook(lambda *_: seen.append(1))
    try:
        (report,) = captions(CONTRAST, REPLACED).reports
    finally:
        hook.remove()
    (action,) = report.actions
    (trial,) = action.tries
    span = action.end_token - action.first_token
    # One token more is written, to see that the sentence is over; and written again without.
    assert trial.tokens == 2 * (span + 1)
    assert action.extra_tokens == _tokens(action.old) + span + 2
    assert len(seen) == len(report.tokens) + action.extra_tokens


def test_the_budget_counts_blind_passes() -> None:
    """A try that would fit without them is given up."""
    (action,) = captions(CONTRAST, REPLACED).reports[0].actions
    spent = _tokens(action.old) + 2 * (action.end_token - action.first_token)
    for budget, result in ((spent + 1, "passed"), (spent, "budget")):
        policy = Policy(**{**_fields(CONTRAST), "budget": budget})
        (action,) = captions(policy, REPLACED).reports[0].actions
        assert [trial.result for trial in action.tries] == [result]
        assert action.extra_tokens <= budget


def _tokens(text: str) -> int:
    return len(small().tokenizer.encode(text, add_special_tokens=False))


def _fields(policy: Policy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in Policy.__dataclass_fields__}


def test_only_the_flagged_rows_change() -> None:
    """In a batch, where spans are written again at different times; the others bit for bit."""
    which = (REPLACED, CLEAN, STOPPED, 2)
    policy = Policy(tries=(Intervention(contrast=1.0, avoid=True),), max_tries=2, threshold=0.25)
    result = captions(policy, *which)
    model: Any = small().model
    plain = model.generate(**inputs(*which), max_new_tokens=LIMIT)
    outcomes = [[action.outcome for action in report.actions] for report in result.reports]
    assert "replaced" in outcomes[0] + outcomes[3]
    for row, (number, report) in enumerate(zip(which, result.reports, strict=True)):
        assert captions(policy, number).texts == (report.text,)
        if not report.actions:
            shared = min(plain.shape[1], result.sequences.shape[1])
            assert torch.equal(plain[row, :shared], result.sequences[row, :shared])
    assert not all(outcomes)


def test_a_contrast_goes_with_eq_4() -> None:
    """Then the span is read again without either, as under Eq. 4 alone."""
    both = Intervention(contrast=1.0, alpha=2.0, avoid=True)
    policy = Policy(tries=(both,), max_tries=1, threshold=0.25)
    (report,) = captions(policy, REPLACED).reports
    (action,) = report.actions
    assert action.intervention == "attention x2 + contrast x1 + avoid"
    assert action.outcome == "replaced"
    prompt = inputs(REPLACED)["input_ids"].shape[1]
    forced = Says([token.id for token in report.tokens], prompt)
    (clean,) = captions(None, REPLACED, logits_processor=[forced]).reports
    for ours, theirs in zip(report.tokens, clean.tokens, strict=True):
        assert ours.id == theirs.id
        assert ours.log_prob == pytest.approx(theirs.log_prob, abs=1e-5)
        assert ours.svar == pytest.approx(theirs.svar, abs=1e-5)


def test_a_fault_in_a_blind_pass_gives_the_original_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As any other that happens while a span is decoded again; later passes are read as before."""
    own = BlindBranch.log_probs
    calls: list[int] = []

    def breaks(self: BlindBranch, written: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(self, written)

    monkeypatch.setattr(BlindBranch, "log_probs", breaks)
    (report,) = captions(CONTRAST, REPLACED).reports
    assert report.actions[0].outcome == "kept"
    assert "OutOfMemoryError" in report.actions[0].reason
    assert report.text.startswith(captions(None, REPLACED).texts[0])


def test_nothing_flagged_costs_no_blind_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch is not asked."""
    monkeypatch.setattr(BlindBranch, "log_probs", None)
    report = captions(Policy(**{**_fields(CONTRAST), "threshold": 2.0}), REPLACED).reports[0]
    assert not report.actions
    assert report.text == captions(None, REPLACED).texts[0]


def test_a_model_that_needs_its_image_is_refused_before_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the reason, by generate and by stream alike."""
    monitor = Monitor.from_pretrained("small")
    model: Any = monitor.model
    own, passes = model.forward, []

    def forward(pixel_values: Tensor | None = None, **given: Any) -> Any:
        if pixel_values is None:
            raise ValueError("where is the picture?")
        passes.append(1)
        return own(pixel_values=pixel_values, **given)

    monkeypatch.setattr(model, "forward", forward)
    for call in (monitor.generate, monitor.stream):
        with pytest.raises(OptionError, match="where is the picture"):
            call(**inputs(STOPPED), max_new_tokens=LIMIT, policy=CONTRAST)
    assert not passes


def test_a_stream_under_a_contrast_tells_the_same() -> None:
    """In its own thread, the branch stands aside as well."""
    with small().stream(**inputs(REPLACED), max_new_tokens=LIMIT, policy=CONTRAST) as stream:
        for _ in stream:
            pass
    assert stream.watch.reports[0].text == captions(CONTRAST, REPLACED).texts[0]
