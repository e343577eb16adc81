"""The whole pair on fourteen families of models: not a bit of difference, and evidence for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sightline.monitor.events import Event, Token
from sightline.monitor.session import Monitor
from transformers import LlavaProcessor

from .families import FAMILIES, build


@pytest.fixture(params=FAMILIES, scope="module")
def family(request: pytest.FixtureRequest) -> Any:
    """One family's tiny model and its batch of two prompts."""
    torch.manual_seed(0)
    return build(request.param)


@pytest.mark.parametrize("do_sample", [False, True], ids=["greedy", "sampled"])
def test_tokens_and_scores_are_those_of_plain_generate(
    family: Any, tiny: tuple[Any, LlavaProcessor], do_sample: bool
) -> None:
    """Bitwise, before, during and after; every token has the evidence of its predicting row."""
    model, inputs = family.model, family.inputs
    shared: dict[str, Any] = {
        "max_new_tokens": 5,
        "do_sample": do_sample,
        "return_dict_in_generate": True,
        "output_scores": True,
    }
    torch.manual_seed(1)
    plain = model.generate(**inputs, **shared)
    tokens: list[Token] = []

    def keep(event: Event) -> None:
        if isinstance(event, Token):
            tokens.append(event)

    monitor = Monitor(model, tiny[1])
    torch.manual_seed(1)
    watched = monitor.generate(**inputs, **shared, on_event=keep)
    torch.manual_seed(1)
    quietly = monitor.generate(**inputs, **shared)
    torch.manual_seed(1)
    after = model.generate(**inputs, **shared)
    for other in (watched.output, quietly.output, after):
        assert torch.equal(plain.sequences, other.sequences)
        assert all(map(torch.equal, plain.scores, other.scores))
    new = plain.sequences[:, inputs["input_ids"].shape[1] :]
    ends = [report.finish for report in watched.reports]
    for row, report in enumerate(watched.reports):
        ids = [token.id for token in report.tokens]
        assert ids == new[row, : len(ids)].tolist()
        assert ends[row] == "length" or set(new[row, len(ids) :].tolist()) <= {0}
    assert tokens
    for token in tokens:
        assert token.evidence is not None
        assert token.evidence.layers == monitor.layers.layers
        np.testing.assert_allclose(token.evidence.masses.sum(-1), 1, atol=1e-5)
        assert (token.evidence.var > 0).all()
    for heard, quiet in zip(watched.reports, quietly.reports, strict=True):
        assert [token.id for token in heard.tokens] == [token.id for token in quiet.tokens]
        assert [token.svar for token in quiet.tokens] == pytest.approx(
            [token.svar for token in heard.tokens], abs=1e-5
        )
