"""What every token of a finished sequence looked like, from one teacher-forced pass over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.events import Event, Token
from sightline.monitor.session import Monitor
from torch import Tensor


class Heard(list[Event]):
    """Events, and the tokens among them by row."""

    def tokens(self, row: int) -> list[Token]:
        """The tokens of a row, in order."""
        return [event for event in self if isinstance(event, Token) and event.row == row]


@torch.no_grad()
def check_evidence(
    monitor: Monitor, inputs: Mapping[str, Tensor], sequences: Tensor, heard: Heard, copies: int = 1
) -> int:
    """Hold each token's evidence against a single pass that reads all rows at once.

    Args:
        monitor: whose tokens they are.
        inputs: the prompts.
        sequences: ``[prompts * copies, length]``, as ``generate`` returned them.
        heard: the events.
        copies: sequences per prompt.

    Returns:
        how many tokens were compared.
    """
    model: Any = monitor.model
    ids = inputs["input_ids"]
    prompt, compared = ids.shape[1], 0
    ones = torch.ones(len(ids), sequences.shape[1] - prompt, dtype=torch.int64)
    longer = {
        name: torch.cat([value, torch.zeros_like(ones) if "type" in name else ones], dim=1)
        for name, value in inputs.items()
        if name == "attention_mask" or name.endswith("token_type_ids")
    }
    for copy in range(copies):
        # What ends early is filled with anything, -1 among it; later rows see nothing of it.
        forced = sequences[copy::copies].clamp_min(0)
        image = monitor.anatomy.image_positions(ids)
        with AttentionTap(
            monitor.anatomy,
            image,
            prompt_mask=inputs.get("attention_mask"),
            layers=monitor.layers.layers,
            rows="all",
        ) as tap:
            out = model(**{**inputs, **longer, "input_ids": forced}, use_cache=False)
            masses = tap.take().masses.numpy()
        log_probs = out.logits.float().log_softmax(-1)
        for row in range(len(ids)):
            index = row * copies + copy
            for token in heard.tokens(index):
                place, found = prompt + token.index - 1, token.evidence
                assert found is not None
                assert token.id == int(sequences[index, place + 1])
                np.testing.assert_allclose(found.masses, masses[row, :, :, place], atol=2e-5)
                expected = log_probs[row, place]
                assert found.log_prob is not None
                assert abs(found.log_prob - float(expected[token.id])) < 1e-3
                assert found.entropy is not None
                entropy = -float((expected.exp() * expected).nan_to_num().sum())
                assert abs(found.entropy - entropy) < 1e-3
                compared += 1
    return compared


def same(plain: Any, watched: Any, names: Sequence[str] = ("scores", "logits")) -> None:
    """Hold two outputs of ``generate`` together, bit for bit."""
    assert type(plain) is type(watched)
    if isinstance(plain, Tensor):
        assert torch.equal(plain, watched)
        return
    assert plain.keys() == watched.keys()
    assert torch.equal(plain.sequences, watched.sequences)
    for name in names:
        one, other = getattr(plain, name), getattr(watched, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert len(one) == len(other), name
            assert all(map(torch.equal, one, other)), name
