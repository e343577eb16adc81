"""The contrast with a branch that does not see the image: its arithmetic, its cache, its place."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sightline.monitor.attention.measurement import StepMeter
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.decoding.inputs import PromptBatch
from sightline.monitor.errors import OptionError
from sightline.monitor.models.anatomy import Anatomy
from sightline.monitor.policy.blind import PLAUSIBLE, BlindBranch, contrasted
from torch import Tensor

from ..families import FAMILIES, Family, build


def picked(probabilities: list[float], blind: list[float], gamma: float, *banned: int) -> list[int]:
    """The tokens left to pick, best first."""
    seen = torch.tensor([probabilities]).log()
    scores = contrasted(
        seen + 7.0,  # logits are no probabilities
        seen=seen,
        blind=torch.tensor([blind]).log(),
        gamma=torch.tensor([[gamma]]),
        forbidden=[set(banned)],
    )[0]
    order = scores.argsort(descending=True).tolist()
    return [token for token in order if scores[token] > -torch.inf]


def test_what_the_image_adds_counts() -> None:
    """A token that the text alone expects gives way to one that it does not."""
    seen, blind = [0.5, 0.4, 0.1], [0.7, 0.2, 0.1]
    assert picked(seen, blind, 0.0) == [0, 1, 2]
    assert picked(seen, blind, 1.0) == [1, 0, 2]


def test_scores_are_those_of_the_formula() -> None:
    """(1 + gamma) log p(y | image, text) - gamma log p(y | text), up to a constant."""
    torch.manual_seed(0)
    seen, blind = (torch.randn(3, 8).log_softmax(dim=1) for _ in range(2))
    gamma = torch.tensor([[0.5], [1.0], [2.0]])
    found = contrasted(seen, seen=seen, blind=blind, gamma=gamma, forbidden=[(), (), ()])
    plausible = seen >= seen.amax(dim=1, keepdim=True) + math.log(PLAUSIBLE)
    assert 0 < int(plausible.sum()) < plausible.numel()
    wanted = (1 + gamma) * seen - gamma * blind
    torch.testing.assert_close(found[plausible], wanted[plausible])
    assert bool((found[~plausible] == -torch.inf).all())


def test_a_token_that_the_image_makes_unlikely_is_not_considered() -> None:
    """However much less likely the text alone makes it."""
    assert picked([0.9, 0.08, 0.02], [0.9, 0.099, 0.001], 5.0) == [0]


def test_what_is_banned_does_not_decide_what_is_plausible() -> None:
    """Nor is it picked; without it, others are measured against each other."""
    seen, blind = [0.9, 0.04, 0.03, 0.03], [0.1, 0.6, 0.1, 0.2]
    assert picked(seen, blind, 1.0) == [0]
    assert picked(seen, blind, 1.0, 0) == [2, 3, 1]
    assert picked(seen, blind, 1.0, 0, 1, 2, 3) == []


def test_impossible_tokens_give_no_infinities() -> None:
    """What another processor ruled out stays out; what only the text rules out is a number."""
    seen, never = torch.tensor([[0.5, 0.5, 0.0]]).log(), torch.tensor([[0.0, 1.0, 0.0]]).log()
    scores = torch.tensor([[-0.7, -0.7, -torch.inf]])
    found = contrasted(scores, seen=seen, blind=never, gamma=torch.tensor([[2.0]]), forbidden=[()])
    assert math.isfinite(found[0, 0])
    assert found[0, 0] > found[0, 1] > found[0, 2] == -torch.inf


def batch(family: Family) -> PromptBatch:
    """The prompts of a family's batch; they are of different lengths."""
    ids, mask = family.inputs["input_ids"], family.inputs["attention_mask"]
    return PromptBatch(ids, family.image, mask.bool())


def text_alone(family: Family, prompt: int, said: list[int]) -> Tensor:
    """Log-probabilities after a prompt without its image and a caption, in one plain pass."""
    prompts = batch(family)
    kept = prompts.ids[prompt][prompts.real[prompt] & ~prompts.image[prompt]].tolist()
    logits: Tensor = family.model(input_ids=torch.tensor([[*kept, *said]])).logits[0, -1]
    return logits.log_softmax(dim=0)


@torch.no_grad()
def test_the_branch_reads_on_from_its_cache() -> None:
    """Token by token, as rows come, go, say several tokens or begin anew: always the whole text."""
    family = build("llava")
    lengths: list[int] = []
    hook = family.model.register_forward_hook(
        lambda module, args, kwargs, out: lengths.append(kwargs["input_ids"].shape[1]),
        with_kwargs=True,
    )
    branch = BlindBranch(family.model, batch(family))
    steps: list[dict[int, tuple[int, list[int]]]] = [
        {0: (0, [])},
        {0: (0, [7])},
        {0: (0, [7, 8]), 3: (1, [9, 5]), 4: (0, [6, 6])},
        {0: (0, [7, 8, 5]), 3: (1, [9, 5, 7]), 4: (0, [6, 6, 9])},
        {4: (0, [6, 6, 9, 5, 8])},
        {4: (0, [6, 6, 9, 5, 8, 8, 7])},
        {4: (0, [6, 6])},
        {},
        {4: (0, [6, 6, 7])},
    ]
    try:
        passes = []
        for step in steps:
            lengths.clear()
            if not step:
                branch.forget()
                continue
            found = branch.log_probs(step)
            passes.append(list(lengths))
            for row, (prompt, said) in zip(found, step.values(), strict=True):
                torch.testing.assert_close(row, text_alone(family, prompt, said))
    finally:
        hook.remove()
    text = int((batch(family).real & ~batch(family).image)[0].sum())
    assert passes[:2] == [[text], [1]]
    assert passes[2] == [text + 2, text - 3 + 2]  # rows of one length, without padding
    assert passes[3] == [1, 1]
    assert passes[4:] == [[text + 5], [2], [text + 2], [text + 3]]


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_every_family_can_be_asked_without_its_image(name: str) -> None:
    """And its watched generation is bitwise the same, with a blind pass after every pass."""
    family = build(name)
    options = {"max_new_tokens": 5, "do_sample": False}
    records = {"return_dict_in_generate": True, "output_logits": True}
    branch = BlindBranch(family.model, batch(family))
    branch.check()

    def watched(blind: bool) -> tuple[Any, list[Tensor]]:
        anatomy, masses = Anatomy.of(family.model), []
        mask = family.inputs["attention_mask"]
        with (
            AttentionTap(anatomy, family.image, prompt_mask=mask) as tap,
            StepMeter(family.model, tap) as meter,
        ):

            def step(ids: Tensor, scores: Tensor) -> Tensor:
                masses.append(meter.measure().attention.masses)
                said = ids[:, family.inputs["input_ids"].shape[1] :].tolist()
                if blind:
                    with meter.aside():
                        found = branch.log_probs({row: (row, said[row]) for row in range(2)})
                    assert bool(found.isfinite().all())
                return scores

            output = family.model.generate(
                **family.inputs, **options, **records, logits_processor=[step]
            )
        return output, masses

    (one, measured), (other, beside) = watched(False), watched(True)
    assert torch.equal(one.sequences, other.sequences)
    for a, b in zip((*one.logits, *measured), (*other.logits, *beside), strict=True):
        assert torch.equal(a, b)


def test_a_prompt_of_nothing_but_an_image_is_refused() -> None:
    """There is no text to read alone."""
    family = build("llava")
    ids = family.inputs["input_ids"][:1]
    only = PromptBatch(ids, torch.ones_like(ids).bool(), torch.ones_like(ids).bool())
    with pytest.raises(OptionError, match="nothing but an image"):
        BlindBranch(family.model, only)


def test_a_model_that_needs_its_image_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it says so or shows it, and with the reason."""
    family = build("llava")
    own = family.model.forward

    def asks(input_ids: Tensor, pixel_values: Tensor) -> Any:
        raise AssertionError

    monkeypatch.setattr(family.model, "forward", asks)
    with pytest.raises(OptionError, match="asks for pixel_values"):
        BlindBranch(family.model, batch(family))

    def shows(pixel_values: Tensor | None = None, **given: Any) -> Any:
        if pixel_values is None:
            raise ValueError("where is the picture?")
        return own(pixel_values=pixel_values, **given)

    monkeypatch.setattr(family.model, "forward", shows)
    with pytest.raises(OptionError, match="ValueError: where is the picture"):
        BlindBranch(family.model, batch(family)).check()
