"""What a step of the tap holds, and what the tap refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sightline.detectors.evidence import IMAGE, SEGMENTS
from sightline.monitor.attention.intervention import HeadGuided
from sightline.monitor.attention.step import StepAttention
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.errors import InputError, WatchError
from sightline.monitor.models.anatomy import Anatomy

from ..families import IMAGE as PLACEHOLDER
from ..families import Family
from .tapping import greedy, tap_on, watch


def test_every_segment_is_the_dense_sum(llava: Family) -> None:
    """All four segments equal the sums over an eager map, padding left out."""
    _, steps = watch(llava, tap_on(llava))
    llava.model.set_attn_implementation("eager")
    maps = greedy(llava, output_attentions=True).attentions
    llava.model.set_attn_implementation("sdpa")
    prompt = llava.image.shape[1]
    for index, (step, layers) in enumerate(zip(steps, maps, strict=True)):
        where = torch.full((2, prompt + index), SEGMENTS.index("prompt"))
        where[:, :prompt][llava.image] = IMAGE
        where[:, prompt:] = SEGMENTS.index("generated")
        where[0, 0] = where[1, 3] = SEGMENTS.index("first")
        where[1, :3] = -1
        rows = torch.stack([weights[:, :, -1] for weights in layers], dim=1)
        for segment in range(len(SEGMENTS)):
            expected = (rows * (where == segment)[:, None, None]).sum(-1)
            torch.testing.assert_close(step.masses[..., segment], expected, rtol=0, atol=1e-5)


def test_shapes_and_types(llava: Family) -> None:
    """Masses are float32 ``[batch, layers, heads, segments]``; no patches unless asked."""
    _, steps = watch(llava, tap_on(llava, layers=[1, 3]))
    assert steps[0].layers == (1, 3)
    assert steps[0].masses.shape == (2, 2, 4, 4)
    assert steps[0].masses.dtype == torch.float32
    assert steps[0].patches is None


def test_a_layer_does_not_depend_on_who_else_is_watched(llava: Family) -> None:
    """Watching layers 1 and 3 alone gives their rows of watching all."""
    _, every = watch(llava, tap_on(llava))
    _, some = watch(llava, tap_on(llava, layers=(3, 1)))
    for one, other in zip(every, some, strict=True):
        assert torch.equal(one.masses[:, [1, 3]], other.masses)


def test_an_image_at_the_very_start_leaves_no_first(llava: Family) -> None:
    """A first position that is an image token counts as image."""
    ids = torch.cat([llava.inputs["input_ids"][:1, 5:21], torch.full((1, 4), 9)], dim=1)
    pixels = llava.inputs["pixel_values"][:1]
    with torch.no_grad(), AttentionTap(Anatomy.of(llava.model), ids == PLACEHOLDER) as tap:
        llava.model(input_ids=ids, pixel_values=pixels)
        masses = tap.take().masses
    assert (masses[..., SEGMENTS.index("first")] == 0).all()
    torch.testing.assert_close(masses.sum(-1), torch.ones(1, 4, 4))


def test_patches_are_the_head_mean_and_sum_to_var(llava: Family) -> None:
    """The patch row adds up to the head mean of VAR; only the last steps are kept."""
    tap = tap_on(llava, patches=3)
    _, steps = watch(llava, tap)
    for step in steps:
        assert step.patches is not None
        assert step.patches.shape == (2, 4, 16)
        torch.testing.assert_close(step.patches.sum(-1), step.masses[..., IMAGE].mean(-1))
    assert [id(kept) for kept in tap.recent_patches] == [id(s.patches) for s in steps[-3:]]


def test_rows_with_different_numbers_of_image_tokens(llava: Family) -> None:
    """Two images in one prompt, one in another: each as if it were alone."""
    text = llava.inputs["input_ids"][0, :5]
    image = torch.full((16,), PLACEHOLDER)
    two = torch.cat([text, image, text, image, text])
    one = torch.cat([torch.zeros(21, dtype=torch.long), text, image, text])[-two.numel() :]
    ids = torch.stack([two, one])
    pixels = torch.randn(3, 3, 24, 24)
    mask = (ids != 0).long()
    anatomy = Anatomy.of(llava.model)

    def run(rows: slice, pictures: slice) -> StepAttention:
        batch = {"input_ids": ids[rows], "attention_mask": mask[rows]}
        with (
            torch.no_grad(),
            AttentionTap(
                anatomy, ids[rows] == PLACEHOLDER, prompt_mask=mask[rows], patches=1
            ) as tap,
        ):
            llava.model(**batch, pixel_values=pixels[pictures])
            return tap.take()

    both = run(slice(0, 2), slice(0, 3))
    first, second = run(slice(0, 1), slice(0, 2)), run(slice(1, 2), slice(2, 3))
    torch.testing.assert_close(both.masses[:1], first.masses, rtol=0, atol=1e-6)
    torch.testing.assert_close(both.masses[1:], second.masses, rtol=0, atol=1e-6)
    assert both.patches is not None
    assert second.patches is not None
    assert both.patches.shape[-1] == 32
    torch.testing.assert_close(both.patches[1:, :, :16], second.patches, rtol=0, atol=1e-6)
    assert (both.patches[1, :, 16:] == 0).all()


def test_two_taps_in_one_thread(llava: Family) -> None:
    """A second tap in the same context is refused; the first goes on."""
    with torch.no_grad(), tap_on(llava) as tap:
        with pytest.raises(WatchError, match="Only one AttentionTap"), tap_on(llava):
            pass
        llava.model(**llava.inputs)
        assert tap.take().masses.shape[0] == 2


def test_nothing_to_take(llava: Family) -> None:
    """Each pass can be taken once, and only after it happened."""
    with torch.no_grad(), tap_on(llava) as tap:
        with pytest.raises(WatchError, match="0 of 4 watched layers"):
            tap.take()
        llava.model(**llava.inputs)
        tap.take()
        with pytest.raises(WatchError, match=r"take\(\) must follow"):
            tap.take()


def test_a_batch_that_is_not_the_watched_one(llava: Family) -> None:
    """Rows that are no multiple of the watched prompts are refused."""
    one = {name: value[:1] for name, value in llava.inputs.items()}
    with (
        torch.no_grad(),
        tap_on(llava),
        pytest.raises(WatchError, match="multiple of the 2 watched prompts"),
    ):
        llava.model(**one)


def test_image_features_and_placeholders_that_disagree(llava: Family) -> None:
    """transformers' own complaint passes through, and the model is left as found."""
    fewer = llava.inputs | {"input_ids": llava.inputs["input_ids"].clone()}
    fewer["input_ids"][:, 6] = 9
    with pytest.raises(ValueError, match="do not match"), tap_on(llava):
        llava.model(**fewer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [2, 4]}, r"0-3 \(counted from 0\); had: \[4\]"),
        ({"layers": []}, "had: none"),
        ({"patches": -1}, "at least 0 steps, was: -1"),
        (
            {"rows": "all", "intervention": HeadGuided(1.0, [1])},
            "cannot be combined with rows",
        ),
        ({"intervention": HeadGuided(1.0, [9])}, r"had: \[9\]"),
    ],
)
def test_options(llava: Family, options: dict[str, Any], message: str) -> None:
    """Options that cannot be honoured are refused before anything is touched."""
    with pytest.raises(ValueError, match=message):
        tap_on(llava, **options)


def test_rows_outside_the_pass(llava: Family) -> None:
    """Rows beyond the sequence are refused with the positions there are."""
    rows = torch.full((2, 1), 99)
    with (
        torch.no_grad(),
        tap_on(llava, rows=rows),
        pytest.raises(WatchError, match="positions 0-27, were: 99-99"),
    ):
        llava.model(**llava.inputs)


def test_prompts_and_masks_that_disagree(anatomy: Anatomy) -> None:
    """Shapes, types and padded images are checked when the tap is made."""
    image = torch.tensor([[False, True, False]])
    with pytest.raises(InputError, match=r"shape of image \(1, 3\), was: \(1, 4\)"):
        AttentionTap(anatomy, image, prompt_mask=torch.ones(1, 4))
    with pytest.raises(InputError, match="must be a bool tensor"):
        AttentionTap(anatomy, image.long())
    with pytest.raises(InputError, match="must not be padding"):
        AttentionTap(anatomy, image, prompt_mask=torch.tensor([[1, 0, 1]]))
    with pytest.raises(InputError, match="all padding"):
        AttentionTap(anatomy, image & False, prompt_mask=torch.zeros(1, 3))
