"""Eq. 4: its arithmetic, its rows, its layers, its switch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sightline.detectors.evidence import IMAGE
from sightline.monitor.attention.intervention import HeadGuided, guided_scores
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor

from ..families import Family, build


@pytest.fixture(scope="module")
def llava() -> Family:
    """The tiny LLaVA."""
    return build("llava")


def _run(family: Family, guide: HeadGuided | None, **options: Any) -> Any:
    mask = family.inputs["attention_mask"]
    tap = AttentionTap(Anatomy.of(family.model), family.image, prompt_mask=mask, intervention=guide)
    with tap:
        return _plain(family, **options)


def _plain(family: Family, **options: Any) -> Any:
    return family.model.generate(
        **family.inputs,
        max_new_tokens=6,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
        **options,
    )


def test_arithmetic_by_hand() -> None:
    """Two heads, three keys, the middle one an image token."""
    scores = torch.tensor([[[1.0, -2.0, 3.0], [0.0, 4.0, 5.0]]])
    image = torch.tensor([[0.0, 1.0, 0.0]])
    guided = guided_scores(scores, image, torch.full((1, 1, 1), 0.5))
    assert guided.tolist() == [[[1.0, -0.5, 3.0], [0.0, 5.5, 5.0]]]


def test_rows_with_alpha_zero_are_bitwise_untouched(llava: Family) -> None:
    """One row guided, the other not: the other's logits are those of the plain run."""
    plain = _plain(llava)
    guided = _run(llava, HeadGuided(torch.tensor([2.0, 0.0]), range(4)))
    for got, want in zip(guided.logits, plain.logits, strict=True):
        assert torch.equal(got[1], want[1])
    assert not torch.equal(guided.logits[0][0], plain.logits[0][0])


def test_a_row_in_a_batch_equals_the_same_strength_for_all(llava: Family) -> None:
    """Per-row strengths give what one strength gives, row by row."""
    both = _run(llava, HeadGuided(2.0, range(4)))
    rows = _run(llava, HeadGuided(torch.tensor([2.0, 0.5]), range(4)))
    assert torch.equal(both.logits[0][0], rows.logits[0][0])
    assert not torch.equal(both.logits[0][1], rows.logits[0][1])


def test_the_prompts_last_row_is_guided_too(llava: Family) -> None:
    """The first generated token is predicted by the prefill: Eq. 4 acts there already."""
    assert not torch.equal(_run(llava, HeadGuided(2.0, [0])).logits[0], _plain(llava).logits[0])


def test_it_raises_attention_to_the_image_in_its_layers_only(llava: Family) -> None:
    """Masses of an intervened pass are the inflated ones, and the step says so."""
    mask = llava.inputs["attention_mask"]
    anatomy = Anatomy.of(llava.model)
    guide = HeadGuided(3.0, [2])
    with (
        torch.no_grad(),
        AttentionTap(anatomy, llava.image, prompt_mask=mask, intervention=guide) as tap,
    ):
        llava.model(**llava.inputs)
        acted = tap.take()
        guide.alpha = 0.0
        llava.model(**llava.inputs)
        clean = tap.take()
    assert acted.intervened
    assert not clean.intervened
    assert torch.equal(acted.masses[:, :2], clean.masses[:, :2])
    assert (acted.masses[:, 2, :, IMAGE] > clean.masses[:, 2, :, IMAGE]).all()
    torch.testing.assert_close(acted.masses.sum(-1), torch.ones(2, 4, 4))


def test_it_acts_in_layers_that_are_not_watched(llava: Family) -> None:
    """Watching layer 3 and guiding layers 0 and 1 go together."""
    mask = llava.inputs["attention_mask"]
    guide = HeadGuided(2.0, [0, 1])
    every = _run(llava, guide)
    with AttentionTap(
        Anatomy.of(llava.model), llava.image, prompt_mask=mask, layers=[3], intervention=guide
    ) as tap:
        some = _plain(llava)
        assert tap.take().masses.shape == (2, 1, 4, 4)
    assert torch.equal(every.logits[-1], some.logits[-1])


def test_strength_can_change_between_steps(llava: Family) -> None:
    """Switched off after the first token, the cache keeps what the first pass wrote only."""
    guide = HeadGuided(2.0, range(4))

    def switch_off(input_ids: Tensor, scores: Tensor) -> Tensor:
        guide.alpha = 0.0
        return scores

    always = _run(llava, HeadGuided(2.0, range(4)))
    once = _run(llava, guide, logits_processor=[switch_off])
    assert torch.equal(once.logits[0], always.logits[0])
    assert not torch.equal(once.logits[1], always.logits[1])


def test_beams_share_their_prompts_strength() -> None:
    """Strengths are repeated for the rows of one prompt."""
    strength = HeadGuided(torch.tensor([1.0, 2.0]), [0]).strength(4, torch.device("cpu"))
    assert strength.flatten().tolist() == [1, 1, 2, 2]
    with pytest.raises(ValueError, match=r"one value per row of the batch \(3\), had: 2"):
        HeadGuided(torch.tensor([1.0, 2.0]), [0]).strength(3, torch.device("cpu"))


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        (-0.1, "at least 0, was: -0.1"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (torch.tensor([0.5, -1.0]), "at least 0"),
        (torch.tensor([float("nan")]), "finite"),
        (torch.tensor(0.5), r"float tensor of shape \[batch\]"),
        (torch.tensor([]), r"float tensor of shape \[batch\]"),
        (torch.tensor([1]), r"float tensor of shape \[batch\]"),
    ],
)
def test_strengths_that_mean_nothing_are_refused(alpha: float | Tensor, message: str) -> None:
    """Negative, infinite and ill-shaped strengths are refused when set."""
    with pytest.raises(ValueError, match=message):
        HeadGuided(alpha, [0])


def test_no_layers_are_refused() -> None:
    """Acting nowhere is a mistake."""
    with pytest.raises(ValueError, match="at least one layer"):
        HeadGuided(1.0, [])
