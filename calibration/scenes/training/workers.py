"""What every stage shares: worker processes, averaged gradients, checkpoints, a progress bar.

A step draws its examples from the seed, the stage and the step alone, and each worker takes its
share of them, so the result does not depend on the number of workers but for rounding.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.progress import Progress
from torch import Tensor, nn

from .recipe import Stage

_CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Worker:
    """One of ``size`` processes that train together; alone, there is nothing to average."""

    rank: int
    size: int

    def share(self, count: int) -> slice:
        """This worker's share of ``count`` examples."""
        return slice(self.rank, count, self.size)

    def wait(self) -> None:
        """Wait until every worker has come to this point."""
        if self.size > 1:
            dist.barrier()

    def sum(self, tensors: list[Tensor]) -> None:
        """Add up each tensor over the workers, in place."""
        if self.size == 1:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))


Loss = Callable[[int, Worker], tuple[Tensor, float]]
"""Given a step, the sum of this worker's losses and the weight (tokens, patches) they stand for."""


class Optimisers:
    """Muon for the hidden matrices, AdamW for embeddings, norms, biases and heads."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        stage: Stage,
        decay: float,
    ) -> None:
        self._stage = stage
        self.parameters = [*(matrices := list(matrices)), *(others := list(others))]
        self._all: list[tuple[torch.optim.Optimizer, float]] = []
        if matrices:
            muon = torch.optim.Muon(
                matrices, lr=stage.rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
            )
            self._all.append((muon, stage.rate))
        if others:
            rate = stage.rate * stage.adam_scale
            adam = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
            self._all.append((adam, rate))

    def step(self, step: int) -> None:
        """Update at the rate that the schedule gives this step, and clear the gradients."""
        stage = self._stage
        cosine = 0.5 * (1 + math.cos(math.pi * step / stage.steps))
        factor = min(1.0, (step + 1) / stage.warmup) * (stage.final + (1 - stage.final) * cosine)
        for optimiser, rate in self._all:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=False)

    def state(self) -> list[dict[str, Any]]:
        return [optimiser.state_dict() for optimiser, _ in self._all]

    def load(self, state: list[dict[str, Any]]) -> None:
        for (optimiser, _), saved in zip(self._all, state, strict=True):
            optimiser.load_state_dict(saved)


def split_parameters(modules: Iterable[nn.Module]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Hidden matrices, and everything else, of the trainable parameters of some modules."""
    matrices: dict[int, nn.Parameter] = {}
    others: dict[int, nn.Parameter] = {}
    for module in modules:
        for part in module.modules():
            for parameter in part.parameters(recurse=False):
                if not parameter.requires_grad:
                    continue
                hidden = parameter.ndim == 2 and isinstance(part, nn.Linear)
                (matrices if hidden else others)[id(parameter)] = parameter
    return list(matrices.values()), [p for i, p in others.items() if i not in matrices]


def run_stage(
    name: str,
    stage: Stage,
    module: nn.Module,
    trained: Iterable[nn.Module],
    loss: Loss,
    *,
    folder: Path,
    worker: Worker,
    decay: float,
    progress: Progress,
) -> None:
    """Train the ``trained`` parts of ``module`` for one stage, from where it was left off.

    ``folder`` gets ``NAME.partial.pt`` while the stage runs and ``NAME.pt`` when it is done; either
    is written whole or not at all.
    """
    done, partial = folder / f"{name}.pt", folder / f"{name}.partial.pt"
    if done.exists():
        module.load_state_dict(torch.load(done, weights_only=True)["module"])
        return
    optimisers = Optimisers(*split_parameters(trained), stage, decay)
    first, spent, smooth = 0, 0.0, math.nan
    if partial.exists():
        saved = torch.load(partial, weights_only=True)
        module.load_state_dict(saved["module"])
        optimisers.load(saved["optimisers"])
        first, spent = saved["step"], saved["seconds"]
    for parameter in optimisers.parameters:
        parameter.grad = torch.zeros_like(parameter)
    task = progress.add_task(f"{name}", total=stage.steps, completed=first)
    began = kept = time.monotonic()
    for step in range(first, stage.steps):
        total, weight = loss(step, worker)
        total.backward()
        sums = torch.tensor([float(total.detach()), weight])
        gradients = [p.grad for p in optimisers.parameters if p.grad is not None]
        worker.sum([*gradients, sums])
        for gradient in gradients:
            gradient.div_(float(sums[1]))
        torch.nn.utils.clip_grad_norm_(optimisers.parameters, 1.0)
        optimisers.step(step)
        current = float(sums[0] / sums[1])
        smooth = current if math.isnan(smooth) else 0.98 * smooth + 0.02 * current
        progress.update(task, completed=step + 1, description=f"{name} · loss {smooth:.3f}")
        now = time.monotonic()
        if worker.rank == 0 and now - kept > _CHECKPOINT_SECONDS:
            _save(partial, module, optimisers, worker, step + 1, spent + now - began)
            kept = now
    if worker.rank == 0:
        spent += time.monotonic() - began
        _save(done, module, optimisers, worker, stage.steps, spent)
        progress.console.print(f"{name}: loss {smooth:.3f} after {spent / 60:.1f} minutes")
        partial.unlink(missing_ok=True)
    worker.wait()


def _save(
    path: Path, module: nn.Module, optimisers: Optimisers, worker: Worker, step: int, seconds: float
) -> None:
    whole = path.with_suffix(".writing")
    state = {
        "module": module.state_dict(),
        "optimisers": optimisers.state(),
        "step": step,
        "seconds": seconds,
        "workers": worker.size,
    }
    torch.save(state, whole)
    os.replace(whole, path)
