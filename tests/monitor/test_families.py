"""Fourteen families: the tap reads what eager attention shows and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from sightline.detectors.evidence import IMAGE
from sightline.monitor.attention.intervention import HeadGuided
from sightline.monitor.attention.step import StepAttention
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from .families import FAMILIES, Family, build

STEPS = 8
GUIDED = (1, 2)
ALPHA = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A family, its parts, and its plain greedy run."""

    family: Family
    anatomy: Anatomy
    plain: Any

    def generate(self, **options: Any) -> Any:
        """A greedy run that keeps its raw logits."""
        return self.family.model.generate(
            **self.family.inputs,
            max_new_tokens=STEPS,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
            **options,
        )

    def watch(self, intervention: HeadGuided | None = None) -> tuple[Any, list[StepAttention]]:
        """The same run, watched."""
        steps: list[StepAttention] = []
        mask = self.family.inputs["attention_mask"]
        image = self.anatomy.image_positions(self.family.inputs["input_ids"])
        with AttentionTap(self.anatomy, image, prompt_mask=mask, intervention=intervention) as tap:

            def take(input_ids: Tensor, scores: Tensor) -> Tensor:
                steps.append(tap.take())
                return scores

            output = self.generate(logits_processor=[take])
        return output, steps


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest) -> Case:
    """One family after the other; its model's default attention is SDPA."""
    family = build(request.param)
    bare = Case(family, Anatomy.of(family.model), None)
    return Case(family, bare.anatomy, bare.generate())


@pytest.fixture
def eager(case: Case) -> Iterator[Case]:
    """The same weights with eager attention."""
    case.family.model.set_attn_implementation("eager")
    yield case
    case.family.model.set_attn_implementation("sdpa")


def _same(one: Any, other: Any) -> bool:
    pairs = zip(one.logits, other.logits, strict=True)
    return torch.equal(one.sequences, other.sequences) and all(torch.equal(a, b) for a, b in pairs)


def _image_keys(family: Family, total: int, keys: int) -> Tensor:
    """1 on image tokens among the latest ``keys`` of ``total`` positions, ``[batch, keys]``."""
    image = torch.zeros(family.image.shape[0], total)
    image[:, : family.image.shape[1]] = family.image
    return image[:, total - keys :]


def test_watching_changes_no_bit(case: Case) -> None:
    """Tokens and raw logits of a watched run are bitwise those of the plain one."""
    watched, _ = case.watch()
    assert _same(watched, case.plain)


def test_var_is_what_eager_attention_shows(case: Case, eager: Case) -> None:
    """VAR of every step, layer and head is within 1e-5 of ``output_attentions``."""
    case.family.model.set_attn_implementation("sdpa")
    _, steps = case.watch()
    case.family.model.set_attn_implementation("eager")
    maps = eager.generate(output_attentions=True).attentions
    prompt = case.family.image.shape[1]
    assert len(steps) == len(maps) == STEPS
    for index, (step, layers) in enumerate(zip(steps, maps, strict=True)):
        for row, weights in enumerate(layers):
            image = _image_keys(case.family, prompt + index, weights.shape[-1])
            expected = (weights[:, :, -1] * image[:, None]).sum(-1)
            torch.testing.assert_close(step.masses[:, row, :, IMAGE], expected, rtol=0, atol=1e-5)


def test_masses_add_up_to_one(case: Case) -> None:
    """The four segments cover everything a row can see, padding excluded."""
    _, steps = case.watch()
    total = torch.stack([step.masses.sum(-1) for step in steps])
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-5)


def test_eager_models_can_be_watched(eager: Case) -> None:
    """A model loaded with eager attention is delegated to its own eager function."""
    plain = eager.generate()
    watched, steps = eager.watch()
    assert _same(watched, plain)
    assert len(steps) == STEPS


def test_alpha_zero_changes_no_bit(case: Case) -> None:
    """Eq. 4 at strength 0 is bitwise the plain run."""
    watched, _ = case.watch(HeadGuided(0.0, GUIDED))
    assert _same(watched, case.plain)


def test_eq4_equals_a_dense_reference(case: Case, reference: str) -> None:
    """Eq. 4 gives the logits of a dense implementation written straight from the paper."""
    guided, _ = case.watch(HeadGuided(ALPHA, GUIDED))
    model = case.family.model
    model.set_attn_implementation({"text_config": reference})
    _DENSE.family = case.family
    try:
        expected = case.generate()
    finally:
        model.set_attn_implementation("sdpa")
    assert torch.equal(guided.sequences, expected.sequences)
    for got, want in zip(guided.logits, expected.logits, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=2e-4)
    assert not _same(guided, case.plain)


class _Dense:
    """Eq. 4 on full attention maps, in the layers ``GUIDED``."""

    family: Family
    total: int

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor,
        scaling: float,
        **_: Any,
    ) -> tuple[Tensor, None]:
        groups = query.shape[1] // key.shape[1]
        key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
        scores = query @ key.transpose(2, 3) * scaling
        layer = module.layer_idx
        if layer == 0:
            prompt = self.family.image.shape[1]
            self.total = prompt if query.shape[2] > 1 else self.total + 1
        if layer in GUIDED:
            image = _image_keys(self.family, self.total, key.shape[2])
            for row in range(query.shape[0]):
                for position in image[row].nonzero().flatten().tolist():
                    at_image = scores[row, :, -1, position]
                    scores[row, :, -1, position] = at_image + ALPHA * at_image.abs().mean()
        weights = torch.softmax(scores + attention_mask[..., : key.shape[2]], dim=-1)
        return (weights @ value).transpose(1, 2).contiguous(), None


_DENSE = _Dense()


@pytest.fixture(scope="module")
def reference() -> str:
    """The name under which transformers finds the dense reference."""
    name = "dense_eq4"
    AttentionInterface.register(name, _DENSE)
    AttentionMaskInterface.register(name, eager_mask)
    return name
