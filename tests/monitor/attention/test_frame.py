"""Tests for which layers of a pass are one computation."""

from typing import Any

import pytest
import torch
from sightline.monitor.attention.call import Call
from sightline.monitor.attention.frame import alike, kind_of
from torch import nn

QUERY, KEY = torch.zeros(1, 4, 1, 8), torch.zeros(1, 2, 5, 8)
MASK = torch.zeros(1, 1, 1, 5)


def _call(*, keys: int = 5, mask: object = MASK, **options: Any) -> Call:
    key = KEY[:, :, :keys]
    return Call("sdpa", nn.Identity(), QUERY, key, key, mask, {"scaling": 0.5, **options}, QUERY)


def test_layers_with_the_same_mask_shapes_and_options_are_one_computation() -> None:
    """What is not part of the scores may differ."""
    calls = [_call(), _call(dropout=0.1), _call()]
    assert alike(calls)
    assert len({kind_of(call) for call in calls}) == 1


@pytest.mark.parametrize(
    "other",
    [
        _call(keys=4),
        _call(mask=MASK.clone()),
        _call(scaling=0.25),
        _call(softcap=30.0),
        _call(sliding_window=4),
        _call(s_aux=torch.zeros(4)),
        _call(sinks=torch.zeros(4)),
        _call(position_bias=torch.zeros(1, 4, 1, 5)),
    ],
    ids=["keys", "mask", "scaling", "softcap", "window", "s_aux", "sinks", "bias"],
)
def test_a_layer_that_differs_or_adds_its_own_is_not_alike(other: Call) -> None:
    """Wherever the odd layer stands, the layers cannot be read as one."""
    assert not alike([_call(), other])
    assert not alike([other, _call()])
