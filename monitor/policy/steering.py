"""How the captions of a batch steer what is decoded next: Eq. 4, a contrast, one more sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..attention.measurement import PendingStep, StepMeter
from ..attention.tap import AttentionTap
from ..decoding.options import DecodingOptions
from .blind import BlindBranch, contrasted
from .rewriting import Rewriting


class Steering:
    """Does to each pass, and to its scores, what the rows ask for.

    Args:
        rows: the captions, row by row.
        prompt: tokens of the padded prompt.
        copies: captions of each prompt.
        options: what ends a caption.
        sampled: whether tokens are drawn; if not, the highest score is picked.
        tap: with Eq. 4 in it, if the policy has it.
        blind: the model without the image, if the policy contrasts it with the model.
    """

    def __init__(
        self,
        rows: Sequence[Rewriting],
        *,
        prompt: int,
        copies: int,
        options: DecodingOptions,
        sampled: bool,
        tap: AttentionTap,
        blind: BlindBranch | None,
    ) -> None:
        self._rows = rows
        self._prompt = prompt
        self._copies = copies
        self._options = options
        self._sampled = sampled
        self._tap = tap
        self._blind = blind
        self._alpha: list[float] = []

    def guide(self, ids: Tensor) -> None:
        """Set the strength of Eq. 4 for the pass that predicts the next token of each row.

        Args:
            ids: int64 ``[rows, length]``, prompts and tokens so far.
        """
        guide = self._tap.intervention
        if guide is None:
            return
        token = ids.shape[1] - self._prompt
        alpha = [row.strength(token) for row in self._rows]
        if alpha != self._alpha:
            guide.alpha = torch.tensor(alpha) if any(alpha) else 0.0
            self._alpha = alpha

    def scores(self, ids: Tensor, scores: Tensor, step: PendingStep, meter: StepMeter) -> Tensor:
        """The scores of the next token as the rows want them; the same tensor where none does.

        Args:
            ids: int64 ``[rows, length]``.
            scores: float32 ``[rows, vocabulary]``, processed.
            step: what the pass shows that they come from.
            meter: who measured it.
        """
        if self._blind is not None:
            scores = self._contrasted(self._blind, ids, scores, step, meter)
        return scores if self._sampled else self._going_on(ids.shape[1], scores, step)

    def _contrasted(
        self, blind: BlindBranch, ids: Tensor, scores: Tensor, step: PendingStep, meter: StepMeter
    ) -> Tensor:
        """The scores, with a contrast in the rows that are written again under one."""
        place = ids.shape[1]
        strengths = [row.contrast(place - self._prompt) for row in self._rows]
        rows = [row for row, strength in enumerate(strengths) if strength]
        if not rows:
            blind.forget()
            return scores
        texts = ids[:, self._prompt :].tolist()
        with meter.aside():
            unseen = blind.log_probs({row: (row // self._copies, texts[row]) for row in rows})
        changed = scores.clone()
        changed[rows] = contrasted(
            scores[rows],
            seen=step.distribution.log_probs[rows],
            blind=unseen.to(scores.device),
            gamma=scores.new_tensor([[strengths[row]] for row in rows]),
            forbidden=[self._forbidden(row, place) for row in rows],
        )
        return changed

    def _going_on(self, place: int, scores: Tensor, step: PendingStep) -> Tensor:
        """The scores without the end tokens in the rows that are asked for more.

        What will be picked is known: to pause, take it back and compute its pass again is saved.
        """
        index, options = place - self._prompt, self._options
        asked = [at for at, row in enumerate(self._rows) if row.may_go_on(index)]
        if not asked or (options.limit is not None and index + 1 >= options.limit):
            return scores
        for at, token in zip(asked, scores[asked].argmax(dim=1).tolist(), strict=True):
            if token not in options.eos or token in self._forbidden(at, place):
                continue
            without = scores.clone()
            without[at, sorted(options.eos)] = -torch.inf
            measured = step.collect(torch.full((len(scores),), token))
            if without[at].max() == -torch.inf or not measured.finite(at):
                continue
            if self._rows[at].ends(token, measured.evidence(at)):
                scores = without
        return scores

    def _forbidden(self, row: int, place: int) -> set[int]:
        bans = [ban for ban in self._rows[row].bans() if ban.start <= place < ban.stop]
        return {token for ban in bans for token in ban.tokens}
