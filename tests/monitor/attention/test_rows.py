"""Several rows read in one pass, and passes that are let go by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from sightline.monitor.attention.deferred import DeferredTap
from sightline.monitor.attention.intervention import HeadGuided
from sightline.monitor.attention.step import StepAttention
from sightline.monitor.errors import WatchError
from torch import Tensor
from transformers import DynamicCache

from ..families import FAMILIES, Family, build
from .tapping import tap_on

DRAFT = (9, 17, 23)


def _passes(family: Family, *widths: int) -> Iterator[None]:
    """The prompt, then the draft's tokens, so many in each pass; yields after every pass."""
    cache = DynamicCache(config=family.model.config.get_text_config())
    mask = family.inputs["attention_mask"]
    family.model(**family.inputs, past_key_values=cache)
    yield
    done = 0
    for width in widths:
        ids = torch.tensor(DRAFT[done : done + width]).expand(len(mask), -1)
        done += width
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if "image_grid_thw" in family.inputs:  # these cannot work positions out of a longer mask
            positions = torch.arange(mask.shape[1] - width, mask.shape[1])
            inputs["position_ids"] = positions.expand(3, len(mask), -1)
        family.model(**inputs, past_key_values=cache)
        yield


def _close(one: StepAttention, other: StepAttention) -> None:
    torch.testing.assert_close(one.masses, other.masses, rtol=0, atol=2e-6)
    assert one.patches is not None
    assert other.patches is not None
    torch.testing.assert_close(one.patches, other.patches, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_the_last_rows_of_a_pass_are_those_of_single_steps(name: str) -> None:
    """Three tokens verified in one pass show what they show one by one, in sliding windows too."""
    family = build(name)
    with tap_on(family, patches=1) as tap:
        single = [tap.take() for _ in _passes(family, 1, 1, 1)]
    with tap_on(family, patches=1, rows=3) as tap:
        steps = [tap.take() for _ in _passes(family, 3)]
    assert steps[1].masses.shape == (2, 4, 4, 3, 4)
    together = steps[0].by_row()[-1:] + steps[1].by_row()
    assert len(together) == len(single) == 4
    for one, other in zip(together, single, strict=True):
        _close(one, other)


@torch.no_grad()
def test_rows_may_change_from_pass_to_pass(llava: Family) -> None:
    """A pass that has fewer rows than asked for gives all it has; None goes back to the last."""
    with tap_on(llava) as tap:
        shapes: list[tuple[int, ...]] = []
        for rows in (2, 5, None):
            tap.rows = rows
            assert tap.rows == rows
            *_, _last = _passes(llava, 1)
            shapes.append(tuple(tap.take().masses.shape))
    assert shapes == [(2, 4, 4, 1, 4), (2, 4, 4, 1, 4), (2, 4, 4, 4)]


@torch.no_grad()
def test_one_row_costs_what_it_did(llava: Family) -> None:
    """Asked for one row, a decoding step takes the same way as without, and is bitwise the same."""
    with tap_on(llava) as tap:
        usual = [tap.take().masses for _ in _passes(llava, 1, 1)]
    with tap_on(llava, rows=1) as tap:
        counted = [tap.take().by_row() for _ in _passes(llava, 1, 1)]
    for one, (other,) in zip(usual, counted, strict=True):
        assert torch.equal(one, other.masses)


@torch.no_grad()
def test_a_deferred_tap_counts_every_row_as_a_step(llava: Family) -> None:
    """Steps of a pass over several tokens are found where those of single passes are."""
    found: list[Tensor] = []
    for rows, widths in ((None, (1, 1, 1)), (2, (1, 2)), (2, (2, 1))):
        tap = tap_on(llava, DeferredTap)
        assert isinstance(tap, DeferredTap)
        with tap:
            for number, _ in enumerate(_passes(llava, *widths)):
                tap.keep()
                tap.rows = rows if number < len(widths) else None
        found.append(tap.read([0, 1] * 4, [0, 0, 1, 1, 2, 2, 3, 3]))
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, rtol=0, atol=2e-6)


@torch.no_grad()
def test_eq_4_acts_on_one_row_alone(llava: Family) -> None:
    """Several rows are read where the intervention rests, and refused where it acts."""
    guide = HeadGuided(0.0, [1, 2])
    with tap_on(llava, intervention=guide, rows=3) as tap:
        assert [len(tap.take().by_row()) for _ in _passes(llava, 2)] == [3, 2]
        guide.alpha = 0.5
        with pytest.raises(WatchError, match="Set alpha to 0"):
            list(_passes(llava, 2))


def test_rows_that_make_no_sense(llava: Family) -> None:
    """Numbers below one are refused, also when they are set later."""
    with pytest.raises(ValueError, match="at least 1, was: 0"):
        tap_on(llava, rows=0)
    tap = tap_on(llava, intervention=HeadGuided(0.0, [1]))
    with pytest.raises(ValueError, match="other than a number"):
        tap.rows = "all"
    assert tap.rows is None


@torch.no_grad()
def test_passes_that_are_let_go_by(llava: Family) -> None:
    """A blind branch between two steps is not read, and moves neither of them."""
    with tap_on(llava) as tap:
        usual = [tap.take() for _ in _passes(llava, 1, 1)]
    blind = {"input_ids": torch.full((5, 7), 9), "past_key_values": DynamicCache()}
    plain = llava.model(**blind | {"past_key_values": DynamicCache()}).logits
    with tap_on(llava) as tap:
        found: list[StepAttention] = []
        for _ in _passes(llava, 1, 1):
            with tap.aside():
                assert torch.equal(llava.model(**blind).logits, plain)
                blind["past_key_values"] = DynamicCache()
            found.append(tap.take())
        with tap.aside():
            llava.model(**blind)
        with pytest.raises(WatchError, match="must follow a complete"):
            tap.take()
        assert tap.listening
    for one, other in zip(usual, found, strict=True):
        assert torch.equal(one.masses, other.masses)


@torch.no_grad()
def test_another_tap_while_the_first_stands_aside(llava: Family) -> None:
    """The branch itself may be watched, by a tap of its own."""
    with tap_on(llava) as tap:
        *_, _last = _passes(llava, 1)
        with tap.aside(), tap_on(llava, layers=[2]) as other:
            *_, _last = _passes(llava, 1, 1)
            assert other.take().masses.shape[1] == 1
        assert tap.take().masses.shape[1] == 4
