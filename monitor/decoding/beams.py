"""What the running beams of a search looked like, until it is known which of them were chosen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention.measurement import Measurement, PendingStep
from ..errors import WatchError


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One step of all running beams; every tensor on the device.

    Attributes:
        masses: float32 ``[rows, layers, heads, segments]``.
        tokens: int64 ``[batch, candidates]``, the tokens that one of a prompt's beams may get.
        log_probs: float32 ``[rows, candidates]``, of these tokens.
        spread: float32 ``[rows, 3]``, entropy and the two highest log-probabilities.
        lens: float32 ``[rows, candidates, 1 + layers]``, what the lens says of these tokens.
    """

    masses: Tensor
    tokens: Tensor
    log_probs: Tensor
    spread: Tensor
    lens: Tensor | None


class BeamLedger:
    """Keeps what each beam's row showed, step by step, and looks it up along a path.

    A beam search decides at its end which sequences it returns, and on the way it drops some beams
    and splits others. So each step keeps a few numbers of every running beam: masses, and the
    log-probabilities of the tokens that the search considers, not of the whole vocabulary.
    ``beam_indices``, which ``generate`` returns, then say which row each token came from.

    Args:
        beams: running beams per prompt; those of a prompt are neighbours.
    """

    def __init__(self, beams: int) -> None:
        self._beams = beams
        self._steps: list[_Step] = []
        self._layers: tuple[int, ...] = ()
        self.open: PendingStep | None = None

    def __len__(self) -> int:
        """Steps that are complete."""
        return len(self._steps)

    def measured(self, step: PendingStep) -> None:
        """The forward pass of the next step."""
        self.open = step

    @torch.no_grad()
    def considered(self, tokens: Tensor) -> None:
        """The tokens that the search considers after that pass.

        Args:
            tokens: int64 ``[batch * candidates]``, those of a prompt are neighbours.

        Raises:
            WatchError: there was no pass.
        """
        step = self.open
        if step is None:
            raise WatchError(
                "A beam search must be given all parts of its watch, but its stopping criterion "
                "was asked before its logits processor. Call "
                "generate(**watch.plug_into(arguments))."
            )
        self.open = None
        log_probs = step.distribution.log_probs
        tokens = tokens.to(log_probs.device).view(len(log_probs) // self._beams, -1)
        each = tokens.repeat_interleave(self._beams, dim=0)
        lens = None
        if step.lens is not None:
            lens = torch.stack([step.lens.of(column) for column in each.unbind(1)], dim=1)
        self._layers = step.attention.layers
        self._steps.append(
            _Step(
                masses=step.attention.masses,
                tokens=tokens,
                log_probs=log_probs.gather(1, each),
                spread=torch.cat([step.distribution.entropy, step.distribution.top], dim=1),
                lens=lens,
            )
        )

    @torch.no_grad()
    def along(self, rows: list[int], tokens: list[int]) -> Measurement:
        """What one sequence's tokens looked like when they were predicted.

        Args:
            rows: of each token, the row of the forward pass that it was picked from.
            tokens: the tokens.

        Returns:
            one row for each token.

        Raises:
            WatchError: it is none of the recorded search's sequences.
        """
        path = list(zip(self._steps, rows, strict=False))
        if not rows or len(path) != len(rows):
            raise WatchError(
                f"The sequences must be those of the watched search, of at least one token and at "
                f"most {len(self._steps)} steps, one has: {len(rows)}. Give watch.finish() what "
                f"this very call of generate returned."
            )
        offered = torch.stack([step.tokens[row // self._beams] for step, row in path])
        found = offered == torch.tensor(tokens, device=offered.device).unsqueeze(1)
        if not bool(found.any(dim=1).all()):
            raise WatchError(
                "The sequences must be those of the watched search, one holds a token that was "
                "never considered. Give watch.finish() what this very call of generate returned."
            )
        place = found.int().argmax(dim=1)
        log_probs = torch.stack([step.log_probs[row] for step, row in path])
        spread = torch.stack([step.spread[row] for step, row in path])
        statistics = torch.cat([log_probs.gather(1, place.unsqueeze(1)), spread], dim=1)
        lens = [
            step.lens[row, at]
            for (step, row), at in zip(path, place.tolist(), strict=True)
            if step.lens is not None
        ]
        return Measurement(
            layers=self._layers,
            masses=torch.stack([step.masses[row] for step, row in path]).cpu().numpy(),
            statistics=statistics.cpu().numpy(),
            lens=torch.stack(lens).cpu().numpy() if lens else None,
        )
